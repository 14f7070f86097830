package room_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/platform/rpc"
	"hongyan/service/room"
)

// hand is a clock that a test moves.
type hand struct{ ms atomic.Int64 }

func newHand() *hand {
	h := &hand{}
	h.ms.Store(1_700_000_000_000)
	return h
}

func (h *hand) now() time.Time       { return time.UnixMilli(h.ms.Load()) }
func (h *hand) move(d time.Duration) { h.ms.Add(d.Milliseconds()) }

// keeping is a configuration under which tests remove what has expired when they want to.
func keeping(change func(*room.Retention)) room.Config {
	cfg := room.Default()
	cfg.Retention.Batch, cfg.Retention.Pause, cfg.Retention.Min = 7, 0, 0
	if change != nil {
		change(&cfg.Retention)
	}
	return cfg
}

// onBothKept runs a test on both databases, with a clock of its own.
func onBothKept(t *testing.T, cfg room.Config, test func(t *testing.T, g *world, clock *hand)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			clock := newHand()
			test(t, newWorldOf(t, open(t), nil, cfg, clock.now), clock)
		})
	}
}

// moderation is what the operator of the machine may call.
func (g *rig) moderation() roompb.ModerationClient {
	server := rpc.NewServer("admin", rpc.Options{})
	g.service.RegisterAdmin(server)
	conns, local := rpc.NewLocal(rpc.Options{})
	local.Add(server)
	return roompb.NewModerationClient(conns.Conn("admin"))
}

// purge asks until nothing is left to remove, and returns how many events were.
func (g *rig) purge(req *roompb.PurgeRequest) (events int64) {
	g.t.Helper()
	for {
		resp, err := g.moderation().Purge(context.Background(), req)
		require.NoError(g.t, err)
		if events += resp.Events; !resp.More {
			return events
		}
	}
}

// rows counts the rows of tables that belong to a room.
func (g *rig) rowsOf(stream int64) map[string]int {
	g.t.Helper()
	counts := map[string]int{}
	for _, table := range []string{
		"room", "event", "state_delta", "state_current", "room_extremity", "membership", "event_relation", "thread", "room_alias",
		"room_profile", "room_listing", "guest_check", "room_removal",
	} {
		counts[table] = g.count(`SELECT count(*) FROM `+table+` WHERE room = $1`, stream)
	}
	counts["room_entry"] = g.count(`SELECT count(*) FROM room_entry WHERE stream = $1`, stream)
	counts["room_latest"] = g.count(`SELECT count(*) FROM room_latest WHERE stream = $1`, stream)
	return counts
}

func (g *rig) count(sql string, args ...any) (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

func (g *rig) streamOf(roomID string) (id int64) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(context.Background(), `SELECT stream FROM room_stream WHERE name = $1`, roomID).Scan(&id))
	return id
}

// at is an event of a room with what a purge goes by.
type at struct {
	id            string
	seq, position int64
	ts            int64
	state         bool
}

// order reads a room's events in their order, from the service's own interface.
func (g *rig) order(roomID string) (all []at) {
	g.t.Helper()
	resp := g.timelineOf(&roompb.TimelineRequest{RoomId: roomID, UserId: userID("alice"), Limit: 1000})
	for _, e := range resp.Events {
		o := (answer{body: e.Pdu}).object()
		_, isState := o["state_key"]
		all = append(all, at{e.EventId, e.Seq, e.Position, int64(o["origin_server_ts"].(float64)), isState})
	}
	return all
}

// survivors are those of the events that a purge of what is older than a time leaves.
func survivors(all []at, beforeMS int64) (left []at) {
	for i, e := range all {
		if e.state || e.ts >= beforeMS || i == len(all)-1 {
			left = append(left, e)
		}
	}
	return left
}

func idsOf(all []at) (ids []string) {
	for _, e := range all {
		ids = append(ids, e.id)
	}
	return ids
}

// backwards pages through all of a room, the newest first, and returns the ids and the tokens on the way.
func (g *rig) backwards(roomID string, limit int) (ids, tokens []string) {
	g.t.Helper()
	for from := ""; ; {
		path := roomPath(roomID, "messages") + fmt.Sprintf("?dir=b&limit=%d&from=%s", limit, url.QueryEscape(from))
		a := g.ok(http.MethodGet, "alice", path, nil)
		ids = append(ids, a.ids("chunk")...)
		if from = a.str("end"); from == "" {
			return ids, tokens
		}
		tokens = append(tokens, from)
	}
}

// states are the ids of the room's state at each of some sequence numbers.
func (g *rig) states(roomID string, seqs []int64) map[int64][]string {
	g.t.Helper()
	all := map[int64][]string{}
	for _, seq := range seqs {
		resp, err := g.client.State(context.Background(), &roompb.StateRequest{RoomId: roomID, AtSeq: seq})
		require.NoError(g.t, err)
		for _, e := range resp.Events {
			all[seq] = append(all[seq], e.EventId)
		}
	}
	return all
}

// life does something at random in a room, by one of two instances.
func life(t *testing.T, random *rand.Rand, both []*world, roomID string, said *[]string) {
	t.Helper()
	g := both[random.IntN(len(both))]
	user := []string{"alice", "bob"}[random.IntN(2)]
	target := ""
	if len(*said) > 0 {
		target = (*said)[random.IntN(len(*said))]
	}
	path := func(parts ...string) string {
		return roomPath(roomID, append(parts, fmt.Sprintf("p%d", g.txn.Add(1)))...)
	}
	switch n := random.IntN(10); {
	case n < 4 || target == "":
		*said = append(*said, g.say(user, roomID, fmt.Sprint("hello ", random.Int())))
	case n < 6: // threads, edits, annotations and references, also of what is gone
		kind := []string{"m.thread", "m.replace", "m.reference", "m.annotation"}[random.IntN(4)]
		relation := map[string]any{"rel_type": kind, "event_id": target}
		if kind == "m.annotation" {
			relation["key"] = fmt.Sprint(random.Int())
		}
		a := g.do(http.MethodPut, user, path("send", "m.room.message"), map[string]any{
			"msgtype": "m.text", "body": "re", "m.new_content": map[string]any{"body": "new"}, "m.relates_to": relation,
		})
		if a.status != http.StatusOK { // a thread off what relates itself
			require.Equal(t, http.StatusBadRequest, a.status, string(a.body))
			return
		}
		*said = append(*said, a.str("event_id"))
	case n < 7:
		a := g.do(http.MethodPut, "alice", path("redact", target), map[string]any{"reason": "why"})
		require.Contains(t, []int{http.StatusOK, http.StatusNotFound}, a.status, string(a.body))
	case n < 9:
		g.setState("alice", roomID, "m.room.topic", "", map[string]any{"topic": fmt.Sprint(random.Int())})
	default:
		g.act("carol", roomID, []string{"join", "leave"}[random.IntN(2)])
	}
}

func seqsOf(all []at) (seqs []int64) {
	for _, e := range all {
		seqs = append(seqs, e.seq)
	}
	return seqs
}

// newestFirst is a list of ids the other way round.
func newestFirst(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Reverse(ids)
	return ids
}
