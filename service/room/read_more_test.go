package room_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/platform/httpx"
	"hongyan/test/pgtest"
)

func TestReadsSeeWhatAnotherInstanceWrote(t *testing.T) {
	url := pgtest.Start(t)
	one, two := newRig(t, url), newRig(t, url)
	two.txn.Store(1000)
	roomID := one.create("joined")
	hidden := one.say("alice", roomID, "x")
	require.Equal(t, http.StatusForbidden, two.get("bob", roomPath(roomID, "state")).status)
	for range 3 {
		one.act("bob", roomID, "join")
		require.Equal(t, http.StatusOK, two.get("bob", roomPath(roomID, "state")).status, "joined through the other instance")
		seen := one.say("alice", roomID, "x")
		require.Equal(t, http.StatusOK, two.get("bob", roomPath(roomID, "event", seen)).status)
		require.Equal(t, http.StatusNotFound, two.get("bob", roomPath(roomID, "event", hidden)).status)
		one.to("alice", roomID, "kick", "bob")
		hidden = one.say("alice", roomID, "x")
		require.Equal(t, http.StatusNotFound, two.get("bob", roomPath(roomID, "event", hidden)).status)
		require.Equal(t, http.StatusForbidden, two.get("bob", roomPath(roomID, "joined_members")).status)
	}
	one.setState("alice", roomID, "m.room.history_visibility", "", map[string]string{"history_visibility": "world_readable"})
	open := one.say("alice", roomID, "x")
	require.Equal(t, http.StatusOK, two.get("mallory", roomPath(roomID, "event", open)).status)
	one.setState("alice", roomID, "m.room.history_visibility", "", map[string]string{"history_visibility": "shared"})
	closed := one.say("alice", roomID, "x")
	require.Equal(t, http.StatusNotFound, two.get("mallory", roomPath(roomID, "event", closed)).status)
	require.Equal(t, http.StatusOK, two.get("mallory", roomPath(roomID, "event", open)).status, "it was said in the open")
	require.Equal(t, http.StatusForbidden, two.get("mallory", roomPath(roomID, "messages")+"?dir=b").status)
}

func TestTimelineIsTheSameWhateverHappensLater(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		g.to("alice", roomID, "invite", "bob")
		g.say("alice", roomID, "x")
		then := g.head(roomID).HeadPosition
		req := &roompb.TimelineRequest{RoomId: roomID, UserId: userID("bob"), Through: then, Limit: 100}
		before := g.timelineOf(req)
		require.Empty(t, before.Events)
		g.act("bob", roomID, "join")
		after := g.timelineOf(req)
		require.Empty(t, after.Events, "that bob would join was not known then")
		require.Equal(t, before.StartSeq, after.StartSeq)
		req.Through = 0
		require.NotEmpty(t, g.timelineOf(req).Events)
	})
}

func TestMessagesLookAtOnlySoManyEvents(t *testing.T) {
	g := newRig(t, databases["sqlite"](t))
	roomID := g.create("")
	needle := g.send("alice", roomID, "m.sticker", map[string]any{})
	g.fill(roomID, 5_500)
	f := "&filter=" + url.QueryEscape(`{"types":["m.sticker"]}`)
	first := g.page("alice", roomID, "dir=b&limit=5"+f)
	require.Empty(t, first.list("chunk"))
	require.NotEmpty(t, first.str("end"), "it has not come to the end")
	second := g.page("alice", roomID, "dir=b&limit=5&from="+first.str("end")+f)
	require.Equal(t, []string{needle}, second.ids("chunk"))
	require.Empty(t, second.str("end"))
}

func TestHiddenHistoryCostsNothing(t *testing.T) {
	g := newRig(t, databases["sqlite"](t))
	roomID := g.create("joined")
	g.fill(roomID, 200)
	g.act("bob", roomID, "join")
	a := g.page("bob", roomID, "dir=b&limit=5")
	// What came before the visibility was set is shared by default; the 200 hidden events are passed over at once.
	require.Len(t, a.list("chunk"), 5)
	require.Equal(t, "m.room.member", a.list("chunk")[0]["type"])
	require.NotContains(t, eventTypes(a.list("chunk")), "m.room.message")
}

func TestRPCsTakeAnyText(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		odd := []string{"\x00", "!\x00:hs", "", "!unknown:hs"}
		rooms, err := g.client.UserRooms(t.Context(), &roompb.UserRoomsRequest{UserId: userID("alice"), RoomIds: odd})
		require.NoError(t, err)
		require.Empty(t, rooms.Rooms)
		members, err := g.client.Members(t.Context(), &roompb.MembersRequest{RoomIds: append(odd, roomID)})
		require.NoError(t, err)
		require.Len(t, members.Rooms, 1)
		stripped, err := g.client.StrippedState(t.Context(), &roompb.StrippedStateRequest{RoomIds: odd, UserId: userID("bob")})
		require.NoError(t, err)
		require.Empty(t, stripped.Rooms)
		for _, id := range odd {
			m, err := g.client.Membership(t.Context(), &roompb.MembershipRequest{RoomId: id, UserId: userID("alice")})
			require.NoError(t, err)
			require.Empty(t, m.Membership)
			_, err = g.client.Locate(t.Context(), &roompb.LocateRequest{RoomId: roomID, EventId: id, UserId: userID("alice")})
			require.Error(t, err)
			receipts, err := g.client.Receipts(t.Context(), &roompb.ReceiptsRequest{Rooms: []*roompb.ReceiptsOf{{RoomId: id}}})
			require.NoError(t, err)
			require.Empty(t, receipts.Receipts)
		}
	})
}

// FuzzReads sends all sorts of paths and queries: none may be answered as a fault of the server.
func FuzzReads(f *testing.F) {
	g := newRig(f, databases["sqlite"](f))
	roomID := g.create("")
	id := g.say("alice", roomID, "x")
	token := g.page("alice", roomID, "dir=b").str("start")
	for i, query := range []string{
		"dir=b", "dir=f&limit=5&from=" + token, "dir=b&to=" + token + "&filter=%7B%22types%22:[]%7D", "at=" + token,
		"membership=join&not_membership=ban", "format=event", "limit=-1", "dir=b&from=%ff%00", "filter=[[[[", "dir=b&limit=1e9",
	} {
		f.Add(uint8(i), "m.room.create", query)
	}
	paths := []string{"messages", "state", "state/", "members", "joined_members", "event/", "context/", "context/" + url.PathEscape(id)}
	f.Fuzz(func(t *testing.T, path uint8, tail, query string) {
		target := roomPath(roomID) + "/" + paths[int(path)%len(paths)]
		if strings.HasSuffix(target, "/") {
			target += url.PathEscape(tail)
		}
		r, err := http.NewRequest(http.MethodGet, "/_matrix/client/v3"+target, nil)
		require.NoError(t, err)
		r.URL.RawQuery = query
		httpx.SetCaller(r.Header, httpx.Caller{UserID: userID("alice"), DeviceID: "D"})
		w := httptest.NewRecorder()
		g.handler.ServeHTTP(w, r)
		require.Less(t, w.Code, 500, "%s?%s: %s", target, query, w.Body)
	})
}
