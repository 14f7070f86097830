package room_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/service/room"
)

// TestPurgesLeaveTheRest has two instances write to a room at random while older and older history is removed by one or the other.
// After each purge every way to read shows precisely what is left, in the order of before; state at every point of the order is what
// it was; and every token of before can be gone on from.
func TestPurgesLeaveTheRest(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock, address := newHand(), open(t)
			a := newWorldOf(t, address, nil, keeping(nil), clock.now)
			b := newWorldOf(t, address, a, keeping(nil), clock.now)
			b.txn.Store(1 << 30)
			both := []*world{a, b}
			random := rand.New(rand.NewPCG(3, 4))
			id := a.create("shared")
			a.act("bob", id, "join")
			var said []string
			for range 5 {
				for range 30 {
					clock.move(time.Duration(random.IntN(3)) * time.Second)
					life(t, random, both, id, &said)
				}
				before := a.order(id)
				states := a.states(id, seqsOf(before))
				_, tokens := a.backwards(id, 3)
				cut := before[len(before)*2/3].ts + 1
				left := survivors(before, cut)

				n := both[random.IntN(2)].purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: cut})
				require.EqualValues(t, len(before)-len(left), n)
				for _, g := range both {
					g.checkLeft(id, before, left, tokens)
					require.Equal(t, states, g.states(id, seqsOf(before)))
				}
			}
		})
	}
}

// checkLeft checks that of the events all that are left, and no others, are shown by every way to read.
func (g *world) checkLeft(roomID string, before, left []at, tokens []string) {
	t := g.t
	t.Helper()
	ids := idsOf(left)
	require.Equal(t, ids, idsOf(g.order(roomID)))
	require.Equal(t, ids, eventIDs(g.timeline("alice", roomID, 4)))
	shown, _ := g.backwards(roomID, 4)
	require.Equal(t, newestFirst(ids), shown)
	for _, token := range tokens { // of before the purge
		for _, dir := range []string{"b", "f"} {
			a := g.ok(http.MethodGet, "alice", roomPath(roomID, "messages")+"?limit=1000&dir="+dir+"&from="+url.QueryEscape(token), nil)
			require.Subset(t, ids, a.ids("chunk"))
			require.Empty(t, a.str("end"), "that was all")
		}
	}
	for _, e := range before {
		status := http.StatusNotFound
		if slices.Contains(ids, e.id) {
			status = http.StatusOK
		}
		for _, what := range []string{"event", "context"} {
			require.Equal(t, status, g.get("alice", roomPath(roomID, what, e.id)).status, "%s %+v", what, e)
		}
		a := g.v1("alice", roomPath(roomID, "relations", e.id)+"?limit=100")
		require.Equal(t, status, a.status)
		if status == http.StatusOK {
			require.Subset(t, ids, a.ids("chunk"))
			g.checkBundle(roomID, e.id, a)
		}
		g.checkGap(roomID, e, left)
	}
	g.checkTimes(roomID, before, left)
	for _, root := range g.threads("alice", roomID, "&limit=3") {
		require.Contains(t, ids, root)
	}
	first := left[0]
	require.Equal(t, first.id, g.ok(http.MethodGet, "alice", "/rooms/"+url.PathEscape(roomID)+"/event/"+url.PathEscape(first.id), nil).str("event_id"))
	stream := g.streamOf(roomID)
	require.Equal(t, len(left), g.count(`SELECT count(*) FROM event WHERE room = $1`, stream))
	require.Equal(t, len(left), g.count(`SELECT count(*) FROM room_entry WHERE stream = $1`, stream))
	require.Zero(t, g.count(`SELECT count(*) FROM event_relation r WHERE r.room = $1
		AND NOT EXISTS (SELECT 1 FROM room_entry e WHERE e.stream = r.room AND e.seq = r.seq)`, stream), "relations of what is gone")
	require.Zero(t, g.count(`SELECT count(*) FROM thread t WHERE t.room = $1 AND t.replies <> (SELECT count(*) FROM event_relation r
		WHERE r.room = t.room AND r.target = t.root AND r.rel_type = 'm.thread')`, stream), "threads count what is left")
	require.Zero(t, g.count(`SELECT count(*) FROM thread t WHERE t.room = $1 AND t.latest <> COALESCE((SELECT max(r.seq) FROM event_relation r
		WHERE r.room = t.room AND r.target = t.root AND r.rel_type = 'm.thread'), 0)`, stream), "threads end at what is left")
}

// checkBundle checks that what is told of a thread beside its root are the replies that there are.
func (g *world) checkBundle(roomID, id string, relations answer) {
	g.t.Helper()
	replies := 0
	for _, e := range relations.list("chunk") {
		content, _ := e["content"].(map[string]any)
		if relation, ok := content["m.relates_to"].(map[string]any); ok && relation["rel_type"] == "m.thread" {
			replies++
		}
	}
	thread, _ := g.bundled("alice", roomID, id)["m.thread"].(map[string]any)
	if thread == nil {
		thread = map[string]any{"count": 0.}
	}
	require.EqualValues(g.t, replies, thread["count"], "thread off %s", id)
}

// checkTimes checks which event is found at the times of events, and just before and after, be they there or not.
func (g *world) checkTimes(roomID string, before, left []at) {
	g.t.Helper()
	asked := map[int64]bool{}
	for _, e := range before {
		for _, ts := range []int64{e.ts - 1, e.ts, e.ts + 1} {
			if asked[ts] {
				continue
			}
			asked[ts] = true
			var next, last string
			var nextTS, lastTS int64
			for _, l := range left {
				if l.ts >= ts && (next == "" || l.ts < nextTS) {
					next, nextTS = l.id, l.ts
				}
				if l.ts <= ts && (last == "" || l.ts >= lastTS) {
					last, lastTS = l.id, l.ts
				}
			}
			for dir, want := range map[string]string{"f": next, "b": last} {
				a := g.v1("alice", roomPath(roomID, "timestamp_to_event")+fmt.Sprintf("?ts=%d&dir=%s", ts, dir))
				if want == "" {
					require.Equal(g.t, http.StatusNotFound, a.status, "%s from %d", dir, ts)
					continue
				}
				require.Equal(g.t, want, a.str("event_id"), "%s from %d", dir, ts)
			}
		}
	}
}

// TestTimesAmongHoles is that an event is found by its time in a room of which most is gone, with so many events left on each side of
// the holes that a look at those near a wrong place would not do.
func TestTimesAmongHoles(t *testing.T) {
	onBothKept(t, keeping(func(r *room.Retention) { r.Batch = 500 }), func(t *testing.T, g *world, clock *hand) {
		id := g.create("")
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 230 {
			clock.move(time.Second)
			g.sayMany(id, 5+random.IntN(24))
			g.setState("alice", id, "x.state", fmt.Sprint(i), map[string]any{"i": i})
		}
		clock.move(time.Second)
		g.purge(&roompb.PurgeRequest{RoomId: id, BeforeMs: clock.ms.Load()})
		left := g.order(id)
		require.Greater(t, len(left), 230)
		require.Less(t, len(left), 250)
		g.checkTimes(id, left, left)
	})
}

// checkGap checks what /sync is given of the time after an event, be it there or not: the newest that are left, and whether there are
// older ones.
func (g *world) checkGap(roomID string, since at, left []at) {
	g.t.Helper()
	var later []string
	for _, e := range left {
		if e.position > since.position {
			later = append(later, e.id)
		}
	}
	for _, limit := range []int{len(later), 3} {
		resp := g.timelineOf(&roompb.TimelineRequest{
			RoomId: roomID, UserId: userID("alice"), After: since.position, Limit: int32(limit),
		})
		want := later[max(0, len(later)-limit):]
		var got []string
		for _, e := range resp.Events {
			got = append(got, e.EventId)
		}
		require.Equal(g.t, fmt.Sprint(want), fmt.Sprint(got))
		require.Equal(g.t, len(want) < len(later), resp.Limited, "%d of %d after %+v", len(want), len(later), since)
	}
}
