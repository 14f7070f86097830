package syncroom_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	logpb "hongyan/api/log"
	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// restored is the log of a room service that may come back with another epoch, or without its end.
type restored struct {
	logpb.LogClient
	epoch atomic.Uint64
	// lost is how many entries each shard has lost.
	lost atomic.Int64
}

// Heads implements logpb.LogClient.
func (l *restored) Heads(ctx context.Context, req *logpb.HeadsRequest, opts ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	h, err := l.LogClient.Heads(ctx, req, opts...)
	if err != nil {
		return nil, err
	}
	h.Epoch += l.epoch.Load()
	for i := range h.Shard {
		h.Shard[i] = max(0, h.Shard[i]-l.lost.Load())
	}
	return h, nil
}

// TestSyncGoesOnWhenALogIsAnotherOne lets a log change under a running service: a parked poll is answered, and what
// follows is a limited sync of all rooms where the token means nothing any more, after which news come again.
func TestSyncGoesOnWhenALogIsAnotherOne(t *testing.T) {
	for name, change := range map[string]func(g *rig, log *restored){
		"the room log has another epoch": func(_ *rig, log *restored) { log.epoch.Store(1) },
		"the room log has lost its end":  func(_ *rig, log *restored) { log.lost.Store(1) },
		"the sync log has another epoch": func(g *rig, _ *restored) { g.newSyncEpoch() },
	} {
		t.Run(name, func(t *testing.T) {
			g := onSQLite(t)
			log := &restored{LogClient: g.log}
			g.log = log
			g.restart()
			alice, bob := g.client("alice"), g.client("bob")
			room := alice.create(nil)
			bob.join(room)
			alice.say(room, "before")
			alice.sync()
			bob.sync()
			old := bob.since
			parked := make(chan result, 1)
			go func() { parked <- bob.at(old, time.Minute) }()
			require.Eventually(t, func() bool { return g.sync.service.Parked() == 1 }, 20*time.Second, time.Millisecond)
			change(g, log)
			r := <-parked
			require.Equal(t, old, r.str("next_batch"), "the poll ends")
			require.False(t, r.has("rooms"))
			log.lost.Store(0) // as much was written again
			r = bob.at(old, 0)
			if log.epoch.Load() > 0 {
				require.Equal(t, true, r.join(room).get("timeline", "limited").v)
				require.Contains(t, r.join(room).bodies(), "before")
			}
			bob.since = r.str("next_batch")
			alice.say(room, "after")
			require.Contains(t, bob.poll(20*time.Second).join(room).bodies(), "after", "it is not deaf")
			alice.ok("PUT", "/user/"+alice.user+"/account_data/x", map[string]any{})
			require.Contains(t, alice.poll(20*time.Second).types("account_data"), "x")
		})
	}
}

// newSyncEpoch gives the sync log another epoch.
func (g *rig) newSyncEpoch() {
	g.t.Helper()
	db, err := sqldb.Open(g.t.Context(), sqldb.Config{URL: g.url})
	require.NoError(g.t, err)
	log, err := eventlog.Open(g.t.Context(), db, eventlog.Schema{Name: "sync"}, eventlog.Config{})
	require.NoError(g.t, err)
	require.NoError(g.t, log.NewEpoch(g.t.Context()))
	require.NoError(g.t, db.Close())
}
