package room_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/synctoken"
	"hongyan/platform/httpx"
)

// page asks for one page of messages.
func (g *rig) page(user, roomID, query string) answer {
	g.t.Helper()
	return g.ok(http.MethodGet, user, roomPath(roomID, "messages")+"?"+query, nil)
}

func TestMessagesPageToBothEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		for i := range 25 {
			g.say("alice", roomID, fmt.Sprint(i))
		}
		all := eventIDs(g.timeline("alice", roomID, 1000))
		for _, limit := range []int{1, 3, 10, 1000} {
			var back []string
			for from := ""; ; {
				a := g.page("alice", roomID, fmt.Sprintf("dir=b&limit=%d&from=%s", limit, from))
				require.LessOrEqual(t, len(a.list("chunk")), limit)
				back = append(back, a.ids("chunk")...)
				if from != "" {
					require.Equal(t, from, a.str("start"), "start is what was given as from")
				}
				if from = a.str("end"); from == "" {
					break
				}
			}
			slices.Reverse(back)
			require.Equal(t, all, back, "limit %d", limit)
			require.Equal(t, all, eventIDs(g.timeline("alice", roomID, limit)))
		}
	})
}

func TestMessagesLoseAndRepeatNothingWhileOthersSend(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		for i := range 10 {
			g.say("alice", roomID, fmt.Sprint(i))
		}
		var wg sync.WaitGroup
		begun := make(chan struct{}, 3)
		for range 3 {
			wg.Go(func() {
				for i := range 20 {
					g.say("alice", roomID, fmt.Sprint("later ", i))
					if i == 0 {
						begun <- struct{}{}
					}
				}
			})
		}
		<-begun
		first := g.page("alice", roomID, "dir=b&limit=4")
		start := first.str("start")
		back := first.ids("chunk")
		for from := first.str("end"); from != ""; {
			a := g.page("alice", roomID, "dir=b&limit=4&from="+from)
			back = append(back, a.ids("chunk")...)
			from = a.str("end")
		}
		forth := []string{}
		for from := start; from != ""; {
			a := g.page("alice", roomID, "dir=f&limit=4&from="+from)
			forth = append(forth, a.ids("chunk")...)
			from = a.str("end")
		}
		wg.Wait()
		last := g.page("alice", roomID, "dir=f&limit=1000&from="+start).ids("chunk")
		require.Equal(t, last[:len(forth)], forth)
		slices.Reverse(back)
		require.Equal(t, eventIDs(g.timeline("alice", roomID, 1000)), append(back, last...))
	})
}

func TestMessagesStopAtTo(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		for i := range 6 {
			g.say("alice", roomID, fmt.Sprint(i))
		}
		all := eventIDs(g.timeline("alice", roomID, 1000))
		n := len(all)
		two := g.page("alice", roomID, "dir=b&limit=2").str("end")
		five := g.page("alice", roomID, "dir=b&limit=5").str("end")
		a := g.page("alice", roomID, "dir=b&limit=10&from="+two+"&to="+five)
		require.Equal(t, []string{all[n-3], all[n-4], all[n-5]}, a.ids("chunk"))
		require.Empty(t, a.str("end"), "nothing more in the range that was asked for")
		a = g.page("alice", roomID, "dir=f&limit=10&from="+five+"&to="+two)
		require.Equal(t, all[n-5:n-2], a.ids("chunk"))
		require.Empty(t, a.str("end"))
		a = g.page("alice", roomID, "dir=f&limit=2&from="+five+"&to="+two)
		require.Equal(t, all[n-5:n-3], a.ids("chunk"))
		a = g.page("alice", roomID, "dir=f&limit=2&from="+a.str("end")+"&to="+two)
		require.Equal(t, all[n-3:n-2], a.ids("chunk"))
		require.Empty(t, a.str("end"))
		require.Empty(t, g.page("alice", roomID, "dir=b&from="+five+"&to="+two).list("chunk"), "the wrong way round")
	})
}

func TestMessagesTakeTokensOfSync(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		for i := range 5 {
			g.say("alice", roomID, fmt.Sprint(i))
		}
		all := eventIDs(g.timeline("alice", roomID, 1000))
		a := g.page("alice", roomID, "dir=b&limit=3")
		end, err := synctoken.Parse(a.str("end"))
		require.NoError(t, err)
		require.Len(t, end.Rooms, 1)

		// A cut has no point but positions of shards.
		cut := end.Clone()
		cut.Point = nil
		cut.SetRoom((end.Rooms[0].Shard+1)%64, 9999)
		require.Equal(t, all[len(all)-3:], g.page("alice", roomID, "dir=f&limit=10&from="+cut.String()).ids("chunk"))
		back := g.page("alice", roomID, "dir=b&limit=1&from="+cut.String())
		require.Equal(t, []string{all[len(all)-4]}, back.ids("chunk"))

		// Beyond the head, of another epoch, or from before the room was known: never an error, never silence.
		beyond := end.Clone()
		beyond.Point = nil
		beyond.SetRoom(end.Rooms[0].Shard, 1<<40)
		other := end.Clone()
		other.RoomEpoch++
		for _, token := range []synctoken.Token{beyond, other, {RoomEpoch: end.RoomEpoch}} {
			a := g.page("alice", roomID, "dir=b&limit=1&from="+token.String())
			require.Equal(t, []string{all[len(all)-1]}, a.ids("chunk"))
		}
	})
}

func TestMessagesOfThoseWhoLeftEndAtTheLeave(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		g.act("bob", roomID, "join")
		g.act("bob", roomID, "leave")
		later := g.say("alice", roomID, "bob is gone")
		now := g.page("alice", roomID, "dir=b&limit=1").str("start")
		require.Empty(t, g.page("bob", roomID, "dir=f&from="+now).list("chunk"))
		require.Empty(t, g.page("bob", roomID, "dir=f&from="+now).str("end"))
		require.NotContains(t, g.page("bob", roomID, "dir=b&from="+now).ids("chunk"), later)
	})
}

func TestMessagesFilter(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		g.act("bob", roomID, "join")
		var wanted []string
		root := g.say("alice", roomID, "root")
		for i := range 60 {
			g.say("alice", roomID, fmt.Sprint(i))
			if i%20 == 0 {
				wanted = append(wanted, g.send("bob", roomID, "m.sticker", map[string]any{"url": "mxc://x/y"}))
			}
		}
		reply := g.send("bob", roomID, "m.room.message", map[string]any{
			"body": "in thread", "m.relates_to": map[string]string{"rel_type": "m.thread", "event_id": root},
		})
		ask := func(filter, rest string) answer {
			return g.page("alice", roomID, "dir=f&filter="+url.QueryEscape(filter)+rest)
		}
		for _, f := range []string{
			`{"types":["m.sticker"]}`, `{"types":["m.stick*"]}`, `{"contains_url":true}`,
			`{"senders":["@bob:hs"],"not_types":["m.room.*"]}`,
		} {
			require.Equal(t, wanted, ask(f, "&limit=50").ids("chunk"), f)
		}
		require.Equal(t, []string{reply}, ask(`{"rel_types":["m.thread"]}`, "").ids("chunk"))
		require.Equal(t, []string{reply}, ask(`{"org.matrix.msc3874.rel_types":["m.thread"]}`, "").ids("chunk"))
		require.Equal(t, []string{root}, ask(`{"related_by_rel_types":["m.thread"]}`, "").ids("chunk"))
		require.Equal(t, []string{root}, ask(`{"related_by_senders":["@bob:hs"]}`, "").ids("chunk"))
		require.Empty(t, ask(`{"related_by_senders":["@alice:hs"]}`, "").list("chunk"))
		require.Empty(t, ask(`{"related_by_rel_types":["m.thread"],"related_by_senders":["@alice:hs"]}`, "").list("chunk"))
		require.Empty(t, ask(`{"related_by_rel_types":["m.annotation"]}`, "").list("chunk"))
		require.Empty(t, ask(`{"types":[]}`, "").list("chunk"))
		require.Empty(t, ask(`{"not_rooms":["`+roomID+`"]}`, "").list("chunk"))
		require.Len(t, ask(`{"limit":3}`, "").list("chunk"), 3)
		require.Len(t, ask(`{"limit":3}`, "&limit=5").list("chunk"), 5, "the parameter beats the filter")

		// A redacted relation is none.
		g.ok(http.MethodPut, "alice", roomPath(roomID, "redact", reply, "r"), map[string]any{})
		require.Empty(t, ask(`{"related_by_rel_types":["m.thread"]}`, "&limit=1000").list("chunk"))
		require.Empty(t, ask(`{"rel_types":["m.thread"]}`, "&limit=1000").list("chunk"))

		// Paging with a filter comes to an end and finds each event once.
		var found []string
		for from := ""; ; {
			a := ask(`{"types":["m.sticker"]}`, "&limit=1&from="+from)
			found = append(found, a.ids("chunk")...)
			if from = a.str("end"); from == "" {
				break
			}
		}
		require.Equal(t, wanted, found)
	})
}

func TestMessagesLazyLoadMembers(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		for _, u := range []string{"bob", "carol"} {
			g.act(u, roomID, "join")
		}
		g.say("bob", roomID, "1")
		g.say("alice", roomID, "2")
		g.say("bob", roomID, "3")
		members := func(a answer) []string {
			var users []string
			for _, e := range a.list("state") {
				require.Equal(t, "m.room.member", e["type"])
				users = append(users, e["state_key"].(string))
			}
			return users
		}
		lazy := "&filter=" + url.QueryEscape(`{"lazy_load_members":true}`)
		require.Equal(t, []string{"@bob:hs"}, members(g.page("alice", roomID, "dir=b&limit=1"+lazy)))
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs"}, members(g.page("alice", roomID, "dir=b&limit=3"+lazy)))
		require.NotContains(t, g.page("alice", roomID, "dir=b&limit=1").object(), "state")
		one := g.page("alice", roomID, "dir=b&limit=1").ids("chunk")[0]
		around := g.get("alice", roomPath(roomID, "context", one)+"?limit=1"+lazy)
		for _, e := range around.list("state") {
			require.NotEqual(t, "@carol:hs", e["state_key"])
		}
		require.Contains(t, eventTypes(around.list("state")), "m.room.create")
	})
}

func eventTypes(events []map[string]any) (types []string) {
	for _, e := range events {
		types = append(types, e["type"].(string))
	}
	return types
}

func TestUnsigned(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		before := g.say("alice", roomID, "before bob")
		g.act("bob", roomID, "join")
		txn := "the-transaction"
		path := roomPath(roomID, "send", "m.room.message", txn)
		id := g.ok(http.MethodPut, "alice", path, map[string]string{"body": "x"}).str("event_id")
		unsigned := func(a answer) map[string]any { return a.object()["unsigned"].(map[string]any) }

		own := unsigned(g.get("alice", roomPath(roomID, "event", id)))
		require.Equal(t, txn, own["transaction_id"])
		require.Equal(t, "join", own["membership"])
		require.GreaterOrEqual(t, own["age"], 0.0)
		require.Less(t, own["age"], 600_000.0)
		require.NotContains(t, unsigned(g.get("bob", roomPath(roomID, "event", id))), "transaction_id")
		other := httpx.Caller{UserID: userID("alice"), DeviceID: "another"}
		require.NotContains(t, unsigned(g.doAs(other, http.MethodGet, roomPath(roomID, "event", id), nil)), "transaction_id")
		page := g.page("alice", roomID, "dir=b&limit=1").list("chunk")[0]
		require.Equal(t, txn, page["unsigned"].(map[string]any)["transaction_id"])
		require.Equal(t, "leave", unsigned(g.get("bob", roomPath(roomID, "event", before)))["membership"])

		one := g.setState("alice", roomID, "m.room.topic", "", map[string]string{"topic": "one"})
		two := g.setState("alice", roomID, "m.room.topic", "", map[string]string{"topic": "two"})
		u := unsigned(g.get("bob", roomPath(roomID, "event", two)))
		require.Equal(t, one, u["replaces_state"])
		require.Equal(t, map[string]any{"topic": "one"}, u["prev_content"])

		redaction := g.ok(http.MethodPut, "alice", roomPath(roomID, "redact", id, "r1"), map[string]string{"reason": "oops"}).str("event_id")
		a := g.get("bob", roomPath(roomID, "event", id))
		require.Empty(t, a.object()["content"])
		because := unsigned(a)["redacted_because"].(map[string]any)
		require.Equal(t, redaction, because["event_id"])
		require.Equal(t, id, because["redacts"])
	})
}

func TestReadsRefuseBadInput(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		id := g.say("alice", roomID, "x")
		room := roomPath(roomID)
		long := strings.Repeat("x", 100_000)
		for _, c := range []struct {
			path   string
			status int
			code   string
		}{
			{room + "/messages", 400, "M_MISSING_PARAM"},
			{room + "/messages?dir=x", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&limit=-1", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&limit=x", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&limit=1.5", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&limit=99999999999999999999", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&limit=1000000", 200, ""},
			{room + "/messages?dir=b&from=garbage", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&from=" + long, 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&to=%00", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&from=%ff%fe", 400, "M_INVALID_PARAM"},
			{room + "/messages?dir=b&filter=%7B", 400, "M_NOT_JSON"},
			{room + "/messages?dir=b&filter=7", 400, "M_BAD_JSON"},
			{room + "/messages?dir=b&filter=%7B%22types%22:1%7D", 400, "M_BAD_JSON"},
			{room + "/messages?dir=b&filter=" + strings.Repeat("%5B", 5000), 400, ""},
			{room + "/context/" + url.PathEscape(id) + "?limit=-1", 400, "M_INVALID_PARAM"},
			{room + "/context/" + url.PathEscape(id) + "?filter=x", 400, "M_NOT_JSON"},
			{room + "/context/" + url.PathEscape(id) + "?limit=0", 200, ""},
			{room + "/context/$unknown", 404, "M_NOT_FOUND"},
			{room + "/event/$unknown", 404, "M_NOT_FOUND"},
			{room + "/event/%00", 400, "M_INVALID_PARAM"},
			{room + "/event/%ff", 400, "M_INVALID_PARAM"},
			{room + "/event/" + long, 404, "M_NOT_FOUND"},
			{room + "/members?membership=friend", 400, "M_INVALID_PARAM"},
			{room + "/members?not_membership=friend", 400, "M_INVALID_PARAM"},
			{room + "/members?at=nonsense", 400, "M_INVALID_PARAM"},
			{room + "/state/m.room.topic", 404, "M_NOT_FOUND"},
			{room + "/state/m.room.topic/", 404, "M_NOT_FOUND"},
			{room + "/state/m.room.create/x", 404, "M_NOT_FOUND"},
			{room + "/state/m.room.create/%00", 400, "M_INVALID_PARAM"},
			{room + "/state/%ff/%ff", 400, "M_INVALID_PARAM"},
			{room + "/state/m.room.create?format=xml", 400, "M_INVALID_PARAM"},
			{"/rooms/!unknown:hs/messages?dir=b", 403, "M_FORBIDDEN"},
			{"/rooms/!unknown:hs/messages", 403, "M_FORBIDDEN"},
			{"/rooms/%00/messages?dir=b", 400, "M_INVALID_PARAM"},
			{"/rooms/%ff/state", 400, "M_INVALID_PARAM"},
			{"/rooms/nonsense/members", 403, "M_FORBIDDEN"},
			{"/rooms/!unknown:hs/joined_members", 403, "M_FORBIDDEN"},
			{"/rooms/!unknown:hs/state/m.room.create/", 403, "M_FORBIDDEN"},
			{"/rooms/!unknown:hs/event/" + url.PathEscape(id), 404, "M_NOT_FOUND"},
			{"/rooms/!unknown:hs/context/" + url.PathEscape(id), 404, "M_NOT_FOUND"},
		} {
			a := g.get("alice", c.path)
			require.Equal(t, c.status, a.status, "%.100s: %s", c.path, a.body)
			if c.code != "" {
				require.Equal(t, c.code, a.code(), "%.100s", c.path)
			}
		}
		// Permission comes before parameters.
		require.Equal(t, "M_FORBIDDEN", g.get("mallory", room+"/messages?dir=x").code())
		require.Equal(t, "M_FORBIDDEN", g.get("mallory", room+"/members?at=nonsense").code())
		require.Equal(t, "M_FORBIDDEN", g.get("mallory", room+"/state/m.room.create/?format=xml").code())
		// An event of another room is not there.
		other := g.create("")
		require.Equal(t, 404, g.get("alice", roomPath(other, "event", id)).status)
	})
}
