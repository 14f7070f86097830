package room_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/room"
)

// atTime asks for the event of a time.
func (g *rig) atTime(user, roomID string, ts int64, dir string) answer {
	g.t.Helper()
	return g.ask(http.MethodGet, user, fmt.Sprintf("v1/rooms/%s/timestamp_to_event?ts=%d&dir=%s", escaped(roomID), ts, dir), nil)
}

// closest looks through all that somebody sees, in the room's order, for what timestamp_to_event must find.
func closest(events []map[string]any, ts int64, dir string) (id string, at float64) {
	for _, e := range events {
		t := e["origin_server_ts"].(float64)
		switch {
		case dir == "f" && t >= float64(ts) && (id == "" || t < at), dir == "b" && t <= float64(ts) && t >= at:
			id, at = e["event_id"].(string), t
		}
	}
	return id, at
}

// TestEventByTimestamp compares what is found with a search through all events, for users who see different parts of a room
// whose clock now and then goes back.
func TestEventByTimestamp(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			var now atomic.Int64
			now.Store(1_700_000_000_000)
			g := newWorldOf(t, open(t), nil, room.Default(), func() time.Time { return time.UnixMilli(now.Load()) })
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			id := g.create("joined")
			chat := func(n int) {
				for range n {
					now.Add(r.Int64N(40) - 5)
					g.say("alice", id, "x")
				}
			}
			chat(70)
			g.act("bob", id, "join")
			chat(70)
			g.act("bob", id, "leave")
			chat(70)
			g.setState("alice", id, "m.room.history_visibility", "", map[string]any{"history_visibility": "world_readable"})
			chat(70)
			first, last := int64(1_700_000_000_000), now.Load()
			for _, user := range []string{"alice", "bob", "carol"} {
				seen := g.timeline(user, id, 1000)
				for range 60 {
					ts := first - 50 + r.Int64N(last-first+100)
					for _, dir := range []string{"f", "b"} {
						a := g.atTime(user, id, ts, dir)
						want, at := closest(seen, ts, dir)
						if want == "" {
							require.Equal(t, 404, a.status, string(a.body))
							continue
						}
						require.Equal(t, want, a.str("event_id"), "%s, %d %s: %s, want %v", user, ts, dir, a.body, at)
						require.Equal(t, at, a.object()["origin_server_ts"])
					}
				}
			}
			g.setState("alice", id, "m.room.history_visibility", "", map[string]any{"history_visibility": "joined"})
			require.Equal(t, 403, g.atTime("carol", id, last, "b").status)
		})
	}
}

func TestEventByTimestampRefusals(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		id := g.create("shared")
		path := "v1/rooms/" + escaped(id) + "/timestamp_to_event?"
		g.refuse([]refused{
			{name: "a public room", user: "bob", path: path + "ts=1&dir=f", status: 403, code: "M_FORBIDDEN"},
			{name: "a public room, with more wrong", user: "bob", path: path, status: 403, code: "M_FORBIDDEN"},
			{name: "unknown room", user: "bob", path: "v1/rooms/!x:hs/timestamp_to_event?ts=1&dir=f", status: 403, code: "M_FORBIDDEN"},
			{name: "no ts", user: "alice", path: path + "dir=f", status: 400, code: "M_MISSING_PARAM"},
			{name: "no dir", user: "alice", path: path + "ts=1", status: 400, code: "M_MISSING_PARAM"},
			{name: "ts", user: "alice", path: path + "ts=now&dir=f", status: 400, code: "M_INVALID_PARAM"},
			{name: "dir", user: "alice", path: path + "ts=1&dir=up", status: 400, code: "M_INVALID_PARAM"},
			{name: "ts with a fraction", user: "alice", path: path + "ts=1.5&dir=f", status: 400, code: "M_INVALID_PARAM"},
			{name: "before all", user: "alice", path: path + "ts=1&dir=b", status: 404, code: "M_NOT_FOUND"},
			{name: "before time", user: "alice", path: path + "ts=-5&dir=b", status: 404, code: "M_NOT_FOUND"},
			{name: "after all", user: "alice", path: path + "ts=9007199254740991&dir=f", status: 404, code: "M_NOT_FOUND"},
			{name: "far away", user: "alice", path: path + "ts=9223372036854775807&dir=b", status: 200},
			{name: "the first", user: "alice", path: path + "ts=-5&dir=f", status: 200},
		})
	})
}
