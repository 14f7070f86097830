package room_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/matrix"
)

// head returns the newest event's place in the room of that id.
func (g *rig) head(roomID string) *roompb.UserRoom {
	g.t.Helper()
	resp, err := g.client.UserRooms(g.t.Context(), &roompb.UserRoomsRequest{UserId: userID("alice"), RoomIds: []string{roomID}})
	require.NoError(g.t, err)
	require.Len(g.t, resp.Rooms, 1)
	return resp.Rooms[0]
}

func (g *rig) rooms(req *roompb.UserRoomsRequest) map[string]*roompb.UserRoom {
	g.t.Helper()
	resp, err := g.client.UserRooms(g.t.Context(), req)
	require.NoError(g.t, err)
	require.Len(g.t, resp.Heads, 64)
	require.NotZero(g.t, resp.Epoch)
	rooms := map[string]*roompb.UserRoom{}
	for _, r := range resp.Rooms {
		rooms[r.RoomId] = r
		require.LessOrEqual(g.t, r.Position, resp.Heads[r.Shard])
	}
	return rooms
}

func TestUserRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		joined, invited, left, forgotten := g.create(""), g.create(""), g.create(""), g.create("")
		require.Empty(t, g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob")}))
		for _, id := range []string{joined, left, forgotten} {
			g.act("bob", id, "join")
		}
		g.to("alice", invited, "invite", "bob")
		for _, id := range []string{left, forgotten} {
			g.act("bob", id, "leave")
		}
		g.act("bob", forgotten, "forget")
		last := g.say("alice", joined, "x")

		rooms := g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob")})
		require.Len(t, rooms, 3)
		require.Equal(t, "join", rooms[joined].Membership)
		require.Equal(t, "invite", rooms[invited].Membership)
		require.Equal(t, userID("alice"), rooms[invited].Sender)
		require.Equal(t, "leave", rooms[left].Membership)
		require.Equal(t, "12", rooms[joined].RoomVersion)
		located, err := g.client.Locate(t.Context(), &roompb.LocateRequest{RoomId: joined, EventId: last, UserId: userID("bob")})
		require.NoError(t, err)
		require.Equal(t, located.Seq, rooms[joined].HeadSeq)
		require.Equal(t, located.Position, rooms[joined].HeadPosition)
		require.Less(t, rooms[joined].Seq, rooms[joined].HeadSeq)
		require.Zero(t, rooms[joined].ReceiptPosition)

		all := g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob"), WithForgotten: true})
		require.Len(t, all, 4)
		require.True(t, all[forgotten].Forgotten)
		one := g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob"), RoomIds: []string{joined, "!unknown:hs"}})
		require.Len(t, one, 1)

		g.to("alice", forgotten, "invite", "bob")
		again := g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob")})
		require.Equal(t, "invite", again[forgotten].GetMembership(), "who is invited again has to do with the room again")
		require.False(t, again[forgotten].Forgotten)
	})
}

func TestUserRoomsTellWhatTheMembershipWas(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		cut := func() map[int32]int64 {
			resp, err := g.client.UserRooms(t.Context(), &roompb.UserRoomsRequest{UserId: userID("bob")})
			require.NoError(t, err)
			after := map[int32]int64{}
			for shard, head := range resp.Heads {
				after[int32(shard)] = head
			}
			return after
		}
		roomID := g.create("")
		nothing := cut()
		g.to("alice", roomID, "invite", "bob")
		invited := cut()
		g.act("bob", roomID, "join")
		joined := cut()
		g.say("alice", roomID, "x")
		after := func(cut map[int32]int64) string {
			return g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob"), After: cut})[roomID].MembershipAfter
		}
		require.Equal(t, "", after(nothing))
		require.Equal(t, "invite", after(invited))
		require.Equal(t, "", after(joined), "unchanged since")
		g.act("bob", roomID, "leave")
		g.act("bob", roomID, "join")
		require.Equal(t, "join", after(joined), "what it was then, whatever happened in between")
		require.Equal(t, "", after(map[int32]int64{}), "no room of the user was in the shard then")
	})
}

func TestMembersOfRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		one, two := g.create(""), g.create("")
		g.act("bob", one, "join")
		g.to("alice", one, "invite", "carol")
		g.act("bob", two, "join")
		g.act("bob", two, "leave")
		resp, err := g.client.Members(t.Context(), &roompb.MembersRequest{RoomIds: []string{one, two, "!unknown:hs"}})
		require.NoError(t, err)
		require.Len(t, resp.Rooms, 2)
		for _, m := range resp.Rooms {
			head := g.head(m.RoomId)
			require.Equal(t, head.HeadSeq, m.Seq)
			require.Equal(t, head.HeadPosition, m.Position)
			if m.RoomId == one {
				require.Equal(t, []string{userID("alice"), userID("bob")}, m.Joined)
				require.Equal(t, []string{userID("carol")}, m.Invited)
			} else {
				require.Equal(t, []string{userID("alice")}, m.Joined)
				require.Empty(t, m.Invited)
			}
		}
		for user, want := range map[string]string{"bob": "join", "carol": "invite", "mallory": ""} {
			m, err := g.client.Membership(t.Context(), &roompb.MembershipRequest{RoomId: one, UserId: userID(user)})
			require.NoError(t, err)
			require.Equal(t, want, m.Membership)
		}
	})
}

func pbIDs(events []*roompb.Event) []string {
	ids := []string{}
	for _, e := range events {
		ids = append(ids, e.EventId)
	}
	return ids
}

func (g *rig) timelineOf(req *roompb.TimelineRequest) *roompb.TimelineResponse {
	g.t.Helper()
	resp, err := g.client.Timeline(g.t.Context(), req)
	require.NoError(g.t, err)
	return resp
}

func TestTimeline(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		var ids []string
		start := g.head(roomID)
		for i := range 5 {
			ids = append(ids, g.say("alice", roomID, fmt.Sprint(i)))
		}
		alice := func() *roompb.TimelineRequest {
			return &roompb.TimelineRequest{RoomId: roomID, UserId: userID("alice"), DeviceId: "D-alice", Limit: 10}
		}

		req := alice()
		req.After = start.HeadPosition
		resp := g.timelineOf(req)
		require.Equal(t, ids, pbIDs(resp.Events))
		require.False(t, resp.Limited)
		require.Equal(t, start.HeadSeq, resp.StartSeq)
		require.Equal(t, start.HeadSeq, resp.AfterSeq)
		require.Equal(t, start.HeadSeq+5, resp.EndSeq)
		for _, e := range resp.Events {
			require.Equal(t, "join", e.Membership)
			require.NotEmpty(t, e.Meta.TxnId)
			require.Equal(t, "12", e.Meta.RoomVersion)
			require.True(t, json.Valid(e.Pdu))
		}

		req.Limit = 2
		resp = g.timelineOf(req)
		require.Equal(t, ids[3:], pbIDs(resp.Events))
		require.True(t, resp.Limited)
		require.Equal(t, resp.Events[0].Seq-1, resp.StartSeq)
		third := resp.StartPosition

		req.Through = third
		require.Equal(t, ids[1:3], pbIDs(g.timelineOf(req).Events), "through is inclusive")
		req.After = third
		require.Empty(t, g.timelineOf(req).Events)
		req.After, req.Through, req.Limit = start.HeadPosition, 0, 0
		resp = g.timelineOf(req)
		require.Empty(t, resp.Events)
		require.True(t, resp.Limited, "limit 0 leaves all out")
		require.Equal(t, resp.EndSeq, resp.StartSeq)

		req = alice()
		req.DeviceId = "another"
		for _, e := range g.timelineOf(req).Events {
			require.Empty(t, e.Meta.TxnId)
			require.Empty(t, e.Meta.DeviceId)
		}
		_, err := g.client.Timeline(t.Context(), &roompb.TimelineRequest{RoomId: "!unknown:hs", UserId: userID("alice")})
		var e *matrix.Error
		require.True(t, errors.As(err, &e))
		require.Equal(t, matrix.CodeNotFound, e.Code)
	})
}

func TestTimelineWithFilterKeepsTheStateRight(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		after := g.head(roomID)
		topic := g.setState("alice", roomID, "m.room.topic", "", map[string]string{"topic": "x"})
		req := &roompb.TimelineRequest{
			RoomId: roomID, UserId: userID("alice"), After: after.HeadPosition, Limit: 10,
			Filter: []byte(`{"types":["m.room.message"]}`),
		}
		changes := func(resp *roompb.TimelineResponse) []string {
			state, err := g.client.State(t.Context(), &roompb.StateRequest{
				RoomId: roomID, AfterSeq: resp.AfterSeq, AtSeq: resp.StartSeq,
			})
			require.NoError(t, err)
			return pbIDs(state.Events)
		}
		resp := g.timelineOf(req)
		require.Empty(t, resp.Events)
		require.False(t, resp.Limited)
		require.Equal(t, []string{topic}, changes(resp), "what the filter left out comes as state")
		said := g.say("alice", roomID, "x")
		resp = g.timelineOf(req)
		require.Equal(t, []string{said}, pbIDs(resp.Events))
		require.Equal(t, []string{topic}, changes(resp))
	})
}

func TestTimelineOfThoseWhoAreOut(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		timeline := func(roomID string) []string {
			return pbIDs(g.timelineOf(&roompb.TimelineRequest{RoomId: roomID, UserId: userID("bob"), Limit: 50}).Events)
		}
		for _, visibility := range []string{"world_readable", "shared", "invited", "joined"} {
			left := g.create(visibility)
			g.act("bob", left, "join")
			g.act("bob", left, "leave")
			gone := g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob")})[left].EventId
			g.say("alice", left, "nobody hears")
			ids := timeline(left)
			require.Equal(t, gone, ids[len(ids)-1], "%s: ends with the own leave", visibility)

			rejected := g.create(visibility)
			g.to("alice", rejected, "invite", "bob")
			g.act("bob", rejected, "leave")
			g.say("alice", rejected, "nobody hears")
			ids = timeline(rejected)
			gone = g.rooms(&roompb.UserRoomsRequest{UserId: userID("bob")})[rejected].EventId
			require.Equal(t, gone, ids[len(ids)-1], "%s: ends with the rejection", visibility)
			if visibility == "joined" || visibility == "shared" {
				require.Equal(t, []string{gone}, ids, visibility)
			}
		}
	})
}

func TestStateAtAndChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		g.act("bob", roomID, "join")
		set := func(n int) string {
			return g.setState("alice", roomID, "org.example.n", "", map[string]int{"n": n})
		}
		one := set(1)
		first := g.head(roomID).HeadSeq
		set(2)
		three := set(3)
		g.act("carol", roomID, "join")
		g.say("alice", roomID, "x")
		last := g.head(roomID).HeadSeq
		ask := func(req *roompb.StateRequest) []string {
			req.RoomId = roomID
			resp, err := g.client.State(t.Context(), req)
			require.NoError(t, err)
			return pbIDs(resp.Events)
		}
		key := []*roompb.StateKey{{Type: "org.example.n"}}
		require.Equal(t, []string{one}, ask(&roompb.StateRequest{AtSeq: first, Keys: key}))
		require.Equal(t, []string{three}, ask(&roompb.StateRequest{Keys: key}))
		require.Equal(t, []string{three}, ask(&roompb.StateRequest{AtSeq: last + 100, Keys: key}))
		require.Empty(t, ask(&roompb.StateRequest{AtSeq: 1, Keys: key}))
		require.Empty(t, ask(&roompb.StateRequest{Keys: []*roompb.StateKey{{Type: "org.example.n", StateKey: "x\x00"}}}),
			"no key of the state")

		changes := ask(&roompb.StateRequest{AfterSeq: first, AtSeq: last})
		require.Len(t, changes, 2, "the newest of each key and no more")
		require.Equal(t, three, changes[0])
		require.Equal(t, []string{three}, ask(&roompb.StateRequest{AfterSeq: first, AtSeq: last, Lazy: true}))
		require.Equal(t, changes, ask(&roompb.StateRequest{AfterSeq: first, AtSeq: last, Lazy: true,
			Keys: []*roompb.StateKey{{Type: "m.room.member", StateKey: userID("carol")}}}))
		require.Equal(t, changes[1:], ask(&roompb.StateRequest{AfterSeq: first, AtSeq: last,
			Keys: []*roompb.StateKey{{Type: "m.room.member", AnyStateKey: true}}}))
		require.Empty(t, ask(&roompb.StateRequest{AfterSeq: last, AtSeq: last}))

		all := ask(&roompb.StateRequest{AtSeq: last})
		require.ElementsMatch(t, g.get("alice", roomPath(roomID, "state")).ids(""), all)
		lazy := ask(&roompb.StateRequest{AtSeq: last, Lazy: true})
		require.Len(t, lazy, len(all)-3)
		withBob := ask(&roompb.StateRequest{AtSeq: last, Lazy: true, Keys: []*roompb.StateKey{
			{Type: "m.room.member", StateKey: userID("bob")}, {Type: "m.room.member", StateKey: userID("bob")},
		}})
		require.Len(t, withBob, len(lazy)+1)
	})
}

func TestSummary(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		summary := func(user string, at int64) *roompb.Summary {
			resp, err := g.client.State(t.Context(), &roompb.StateRequest{
				RoomId: roomID, AtSeq: at, SummaryFor: userID(user), Keys: []*roompb.StateKey{{Type: "none"}},
			})
			require.NoError(t, err)
			return resp.Summary
		}
		alone := g.head(roomID).HeadSeq
		users := []string{"bob", "carol", "dave", "erin", "frank", "grace"}
		for _, u := range users {
			g.act(u, roomID, "join")
		}
		g.to("alice", roomID, "invite", "heidi")
		full := g.head(roomID).HeadSeq
		s := summary("bob", 0)
		require.Equal(t, int64(7), s.Joined)
		require.Equal(t, int64(1), s.Invited)
		require.Equal(t, []string{"@alice:hs", "@carol:hs", "@dave:hs", "@erin:hs", "@frank:hs"}, s.Heroes)
		require.False(t, s.Named)

		g.act("carol", roomID, "leave")
		g.act("heidi", roomID, "join")
		for _, u := range []string{"dave", "erin", "frank", "grace"} {
			g.act(u, roomID, "leave")
		}
		s = summary("bob", 0)
		require.Equal(t, int64(3), s.Joined)
		require.Equal(t, int64(0), s.Invited)
		require.Equal(t, []string{"@alice:hs", "@heidi:hs"}, s.Heroes)

		// As it was, whatever happened since.
		s = summary("bob", full)
		require.Equal(t, int64(7), s.Joined)
		require.Equal(t, int64(1), s.Invited)
		require.Equal(t, []string{"@alice:hs", "@carol:hs", "@dave:hs", "@erin:hs", "@frank:hs"}, s.Heroes)
		s = summary("alice", alone)
		require.Equal(t, int64(1), s.Joined)
		require.Empty(t, s.Heroes)

		// Those who left stand for the room only when nobody else is there.
		for _, u := range []string{"bob", "heidi"} {
			g.act(u, roomID, "leave")
		}
		s = summary("alice", 0)
		require.Equal(t, int64(1), s.Joined)
		require.Len(t, s.Heroes, 5)
		require.NotContains(t, s.Heroes, "@alice:hs")
		g.setState("alice", roomID, "m.room.name", "", map[string]string{"name": "A name"})
		require.True(t, summary("alice", 0).Named)
		g.setState("alice", roomID, "m.room.name", "", map[string]string{"name": ""})
		require.False(t, summary("alice", 0).Named)
	})
}

func TestStrippedState(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.ok(http.MethodPost, "alice", "/createRoom", map[string]any{
			"preset": "private_chat", "name": "N", "topic": "T", "invite": []string{userID("bob")},
		}).str("room_id")
		g.setState("alice", roomID, "org.example.secret", "", map[string]string{"k": "v"})
		resp, err := g.client.StrippedState(t.Context(), &roompb.StrippedStateRequest{
			RoomIds: []string{roomID, "!unknown:hs"}, UserId: userID("bob"),
		})
		require.NoError(t, err)
		require.Len(t, resp.Rooms, 1)
		require.Equal(t, roomID, resp.Rooms[0].RoomId)
		types := []string{}
		for _, raw := range resp.Rooms[0].Events {
			var e map[string]any
			require.NoError(t, json.Unmarshal(raw, &e))
			require.Len(t, e, 4)
			require.Contains(t, e, "content")
			require.Contains(t, e, "sender")
			if e["type"] == "m.room.member" {
				require.Equal(t, userID("bob"), e["state_key"])
			}
			types = append(types, e["type"].(string))
		}
		require.ElementsMatch(t, []string{
			"m.room.create", "m.room.join_rules", "m.room.name", "m.room.topic", "m.room.member",
		}, types)
	})
}

func TestLocateFindsTheThread(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		relate := func(relType, to string) string {
			return g.send("alice", roomID, "m.room.message", map[string]any{
				"body": "x", "m.relates_to": map[string]string{"rel_type": relType, "event_id": to},
			})
		}
		root := g.say("alice", roomID, "root")
		reply := relate("m.thread", root)
		edit := relate("m.replace", reply)
		reaction := relate("m.annotation", edit)
		deep := relate("m.reference", reaction)
		deeper := relate("m.reference", deep)
		onRoot := relate("m.annotation", root)
		dangling := relate("m.annotation", "$nowhere")
		for id, thread := range map[string]string{
			root: "main", reply: root, edit: root, reaction: root, deep: root, deeper: "main", onRoot: "main", dangling: "main",
		} {
			resp, err := g.client.Locate(t.Context(), &roompb.LocateRequest{RoomId: roomID, EventId: id, UserId: userID("alice")})
			require.NoError(t, err)
			require.Equal(t, thread, resp.ThreadId)
			require.Equal(t, "m.room.message", resp.Type)
			require.Equal(t, userID("alice"), resp.Sender)
			require.NotZero(t, resp.OriginServerTs)
		}
		_, err := g.client.Locate(t.Context(), &roompb.LocateRequest{RoomId: roomID, EventId: "$nowhere", UserId: userID("alice")})
		var e *matrix.Error
		require.True(t, errors.As(err, &e))
		require.Equal(t, matrix.CodeNotFound, e.Code)
	})
}
