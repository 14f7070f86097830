package room_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/service/room"
)

// leftRoom is a room with everything that a room can have, which everybody has left.
func (g *world) leftRoom(name string) string {
	g.t.Helper()
	id := g.createWith("alice", map[string]any{"preset": "public_chat", "room_alias_name": name, "visibility": "public", "topic": "t"})
	g.act("bob", id, "join")
	root := g.say("alice", id, "root")
	for i := range 12 {
		g.relate("bob", id, "m.thread", root, nil)
		g.setState("alice", id, "x.state", fmt.Sprint(i), map[string]any{"i": i})
	}
	_, err := g.read("bob", id, root, "")
	require.NoError(g.t, err)
	g.ok(http.MethodPost, "bob", roomPath(id, "report", root), map[string]any{"reason": "bad"})
	g.setState("alice", id, "m.room.guest_access", "", map[string]any{"guest_access": "forbidden"})
	g.act("alice", id, "leave")
	g.act("bob", id, "leave")
	return id
}

// sameAsUnknown checks that a room answers as one that never was.
func (g *world) sameAsUnknown(id, alias string) {
	g.t.Helper()
	const nowhere = "!nowhere:hs"
	ask := func(roomID string) (answers []string) {
		room := func(parts ...string) string { return roomPath(roomID, parts...) }
		for _, user := range []string{"alice", "carol"} {
			for _, q := range []struct {
				method, path string
				body         any
			}{
				{"GET", room("messages") + "?dir=b", nil},
				{"GET", room("state"), nil},
				{"GET", room("members"), nil},
				{"GET", room("joined_members"), nil},
				{"GET", room("aliases"), nil},
				{"GET", room("event", "$x"), nil},
				{"GET", room("context", "$x"), nil},
				{"GET", "/directory/list/room/" + url.PathEscape(roomID), nil},
				{"POST", room("join"), map[string]any{}},
				{"POST", room("leave"), map[string]any{}},
				{"POST", room("forget"), map[string]any{}},
				{"POST", room("invite"), map[string]any{"user_id": userID("dave")}},
				{"PUT", room("send", "m.room.message", fmt.Sprint("u", g.txn.Add(1))), map[string]any{"body": "x"}},
				{"PUT", room("state", "m.room.topic", ""), map[string]any{"topic": "x"}},
			} {
				a := g.do(q.method, user, q.path, q.body)
				answers = append(answers, fmt.Sprintf("%s %s %d %s", user, q.method, a.status, a.code()))
			}
		}
		return answers
	}
	require.Equal(g.t, ask(nowhere), ask(id))
	require.Equal(g.t, http.StatusNotFound, g.get("alice", "/directory/room/"+url.PathEscape(alias)).status)
	require.NotContains(g.t, string(g.ok(http.MethodGet, "alice", "/publicRooms", nil).body), id)
	require.NotContains(g.t, g.rooms(&roompb.UserRoomsRequest{UserId: userID("alice"), WithForgotten: true}), id)
}

// requireGone checks that no table has anything of a room but the entry that tells followers.
func (g *world) requireGone(stream int64) {
	g.t.Helper()
	rows := g.rowsOf(stream)
	require.Equal(g.t, 1, rows["room_latest"])
	delete(rows, "room_latest")
	for table, n := range rows {
		require.Zero(g.t, n, table)
	}
}

func TestRemoveRoom(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			address := open(t)
			g := newWorldWith(t, address, nil, keeping(nil))
			other := newWorldWith(t, address, g, keeping(nil))
			other.txn.Store(1 << 30)
			id := g.leftRoom("hall")
			kept := g.create("")
			other.say("alice", kept, "x")
			require.Equal(t, http.StatusForbidden, other.do(http.MethodPut, "alice", roomPath(id, "send", "m.room.message", "1"), map[string]any{"body": "x"}).status,
				"the other instance has the room in memory")
			stream := g.streamOf(id)
			events := g.count(`SELECT count(*) FROM event WHERE room = $1`, stream)
			require.EqualValues(t, events, g.purge(&roompb.PurgeRequest{RoomId: id, All: true}))
			g.requireGone(stream)
			for _, at := range []*world{other, g} {
				at.sameAsUnknown(id, "#hall:hs")
			}
			require.ErrorIs(t, other.service.TellLate(t.Context(), stream, id), eventlog.ErrConflict, "what is told of a purge by now")
			g.requireGone(stream)
			require.True(t, g.purged(id).Room)
			require.True(t, g.reports(100)[0].Gone)
			require.Equal(t, "bad", g.reports(100)[0].Reason)
			require.Equal(t, "x", g.texts(kept))
			_, err := g.moderation().Purge(t.Context(), &roompb.PurgeRequest{RoomId: id, All: true})
			require.ErrorContains(t, err, "There is no room")

			// What was made after it has a number and an alias of its own.
			again := g.createWith("alice", map[string]any{"room_alias_name": "hall"})
			require.NotEqual(t, stream, g.streamOf(again))
			require.Equal(t, http.StatusOK, other.get("alice", roomPath(again, "state")).status)
		})
	}
}

// TestRemoveRoomMakesPeopleLeave is that they leave as they do themselves, whatever they are in the room, where that is asked for.
func TestRemoveRoomMakesPeopleLeave(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.create("")
		for i := range 70 { // more than leave at once
			g.act(fmt.Sprint("m", i), id, "join")
		}
		g.to("alice", id, "invite", "dave")
		_, err := g.moderation().Purge(t.Context(), &roompb.PurgeRequest{RoomId: id, All: true})
		var e *matrix.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, matrix.CodeBadState, e.Code)
		resp, err := g.moderation().Purge(t.Context(), &roompb.PurgeRequest{RoomId: id, All: true, Force: true})
		require.NoError(t, err)
		require.Positive(t, resp.Left)
		require.True(t, resp.More)
		require.Equal(t, resp.Left, int64(g.count(`SELECT count(*) FROM membership WHERE room = $1 AND membership = 'leave'`, g.streamOf(id))))
		g.purge(&roompb.PurgeRequest{RoomId: id, All: true, Force: true})
		require.Empty(t, g.ok(http.MethodGet, "m3", "/joined_rooms", nil).object()["joined_rooms"])
		require.Zero(t, g.count(`SELECT count(*) FROM event WHERE room = $1`, g.streamOf(id)))
	})
}

// TestRemovalBrokenOff stops a removal between any two batches. The room is unknown from its first one on, and another instance ends
// what was begun by itself.
func TestRemovalBrokenOff(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			address := open(t)
			cfg := keeping(func(r *room.Retention) { r.Batch = 1 })
			g := newWorldWith(t, address, nil, cfg)
			id := g.leftRoom("hall")
			stream := g.streamOf(id)
			ctx, end := stopWhen(t, func() bool {
				n := 0
				return g.db.QueryRow(context.Background(), `SELECT count(*) FROM event WHERE room = $1`, stream).Scan(&n) != nil || n < 20
			})
			_, err := g.moderation().Purge(ctx, &roompb.PurgeRequest{RoomId: id, All: true})
			end()
			g.sameAsUnknown(id, "#hall:hs")
			if err != nil {
				require.Positive(t, g.count(`SELECT count(*) FROM room_removal`))
			}
			g.stop()
			g = newWorldWith(t, address, g, cfg) // nobody asks it
			await(t, "the rest goes", func() bool { return g.count(`SELECT count(*) FROM room_removal`) == 0 })
			g.requireGone(stream)
			g.sameAsUnknown(id, "#hall:hs")
		})
	}
}

// TestJoinWhileRemoving lets somebody join through another instance at the moment when a room is removed: either they are in and the
// room stays, or there is no room.
func TestJoinWhileRemoving(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			address := open(t)
			g := newWorldWith(t, address, nil, keeping(nil))
			other := newWorldWith(t, address, g, keeping(nil))
			outcomes := map[bool]int{}
			for i := range 12 {
				id := g.create("")
				other.act("bob", id, "join")
				other.act("bob", id, "leave")
				g.act("alice", id, "leave")
				joined := make(chan answer, 1)
				go func() {
					for range i { // another moment each time
						other.get("carol", "/joined_rooms")
					}
					joined <- other.do(http.MethodPost, "bob", roomPath(id, "join"), map[string]any{})
				}()
				_, err := g.moderation().Purge(t.Context(), &roompb.PurgeRequest{RoomId: id, All: true})
				a := <-joined
				in := a.status == http.StatusOK
				outcomes[in]++
				if in {
					require.Error(t, err)
					require.Equal(t, http.StatusOK, g.get("bob", roomPath(id, "state")).status)
					require.Equal(t, http.StatusOK, other.do(http.MethodPut, "bob", roomPath(id, "send", "m.room.message", "1"), map[string]any{"body": "x"}).status)
				} else {
					require.NoError(t, err)
					require.Equal(t, http.StatusForbidden, g.get("bob", roomPath(id, "state")).status)
				}
			}
			t.Log(outcomes)
		})
	}
}

// TestARemovalThatFailsHoldsUpNoOther is that of two removals that were broken off the second ends though the first one cannot.
func TestARemovalThatFailsHoldsUpNoOther(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			address := open(t)
			g := newWorldWith(t, address, nil, keeping(nil))
			broken, id := g.leftRoom("broken"), g.leftRoom("hall")
			stream, brokenStream := g.streamOf(id), g.streamOf(broken)
			for _, r := range []struct {
				stream int64
				id     string
			}{{stream, id}, {brokenStream, broken}} {
				for _, sql := range []string{
					`INSERT INTO room_removal (room, room_id, seq) SELECT stream, name, seq FROM room_stream WHERE stream = $1`,
					`DELETE FROM room WHERE room = $1`,
				} {
					_, err := g.db.Exec(t.Context(), sql, r.stream)
					require.NoError(t, err)
				}
			}
			_, err := g.db.Exec(t.Context(), `DELETE FROM room_stream WHERE stream = $1`, brokenStream)
			require.NoError(t, err)
			require.Less(t, brokenStream, stream)
			g.stop()
			g = newWorldWith(t, address, g, keeping(nil))
			await(t, "the other one ends", func() bool {
				return g.count(`SELECT count(*) FROM room_removal WHERE room = $1`, stream) == 0
			})
			require.Zero(t, g.count(`SELECT count(*) FROM event WHERE room = $1`, stream))
			require.Equal(t, 1, g.count(`SELECT count(*) FROM room_removal WHERE room = $1`, brokenStream))
		})
	}
}

// TestLeftRoomsAreForgotten is that who had left a removed room is kept for a while and no longer.
func TestLeftRoomsAreForgotten(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			g := newWorldOf(t, address, nil, keeping(nil), clock.now)
			id := g.leftRoom("hall")
			g.purge(&roompb.PurgeRequest{RoomId: id, All: true})
			removed := func(user string) (ids []string) {
				resp, err := g.client.UserRooms(t.Context(), &roompb.UserRoomsRequest{UserId: userID(user), WithRemoved: true})
				require.NoError(t, err)
				for _, r := range resp.Rooms {
					require.True(t, r.Removed)
					require.Equal(t, "leave", r.Membership)
					require.Positive(t, r.Position)
					ids = append(ids, r.RoomId)
				}
				return ids
			}
			require.Equal(t, []string{id}, removed("bob"))
			require.Empty(t, removed("carol"))
			for _, days := range []time.Duration{29, 2} {
				require.Equal(t, []string{id}, removed("bob"))
				clock.move(days * day)
				g.stop()
				g = newWorldOf(t, address, g, keeping(nil), clock.now)
			}
			await(t, "it is forgotten", func() bool { return g.count(`SELECT count(*) FROM room_left`) == 0 })
		})
	}
}
