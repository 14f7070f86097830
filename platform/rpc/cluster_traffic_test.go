package rpc_test

import (
	"sync"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/stretchr/testify/require"

	"hongyan/platform/registry"
	"hongyan/platform/rpc"
)

// TestTrafficWhileInstancesChange asks what was sent to instances while the directory changes all the time: neither waits for the
// other for ever, and calls go on.
func TestTrafficWhileInstancesChange(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	n := w.serve("one", newServer("one", nil))
	_, err := w.client().Unary(t.Context(), &pb.Message{})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var both sync.WaitGroup
		both.Go(func() {
			for i := range 3000 {
				w.dir.SetDown(n.record, registry.PortGRPC, i%2 == 0)
			}
		})
		both.Go(func() {
			for range 3000 {
				w.cluster.Traffic()
			}
		})
		both.Wait()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		require.FailNow(t, "they wait for each other")
	}
	_, err = w.client().Unary(t.Context(), &pb.Message{})
	require.NoError(t, err)
}
