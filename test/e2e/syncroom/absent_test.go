package syncroom_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	logpb "hongyan/api/log"
)

// absent is the room log of a service that is not there yet.
type absent struct {
	logpb.LogClient
	there atomic.Bool
	asked chan struct{}
}

// Heads implements logpb.LogClient.
func (a *absent) Heads(ctx context.Context, req *logpb.HeadsRequest, opts ...grpc.CallOption) (*logpb.HeadsResponse, error) {
	if a.there.Load() {
		return a.LogClient.Heads(ctx, req, opts...)
	}
	select {
	case a.asked <- struct{}{}:
	default:
	}
	return nil, status.Error(codes.Unavailable, "no instance of room")
}

// TestSyncStartsBeforeRoom starts the service while nobody answers for the room log.
func TestSyncStartsBeforeRoom(t *testing.T) {
	g := onSQLite(t)
	alice := g.client("alice")
	room := alice.create(nil)
	away := &absent{LogClient: g.log, asked: make(chan struct{}, 1)}
	g.log = away
	alice.node = g.startSync()
	for range 3 { // it goes on asking
		<-away.asked
	}
	select {
	case <-alice.node.service.Ready():
		require.Fail(t, "ready without a log to follow")
	default:
	}
	away.there.Store(true)
	select {
	case <-alice.node.service.Ready():
	case <-time.After(20 * time.Second):
		require.Fail(t, "not ready")
	}
	require.True(t, alice.sync().join(room).has("timeline"))
}
