package rpc_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/stretchr/testify/require"

	"hongyan/platform/registry"
	"hongyan/platform/registry/registrytest"
	"hongyan/platform/rpc"
)

// leave removes a node's record and waits until the caller knows.
func (w *world) leave(n *node) {
	w.t.Helper()
	require.NoError(w.t, n.registry.Remove(context.Background(), n.record))
	require.Eventually(w.t, func() bool {
		return !slices.ContainsFunc(w.dir.All(service), func(i registry.Instance) bool { return i.BootID == n.record.BootID })
	}, patience, time.Millisecond)
}

// forgotten waits until nothing is kept of an instance that has left.
func (w *world) forgotten(n *node) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return !slices.ContainsFunc(w.cluster.Prober().Asked(), func(i registry.Instance) bool { return i.BootID == n.record.BootID })
	}, patience, time.Millisecond)
}

// The registry may forget a stopped process before a ping finds out: what waits for it goes elsewhere all the same, and
// does not wait for the end of its deadline.
func TestHungProcessLeaves(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Options: reads()})
	process, hung := w.registered("a")
	w.process("b")
	w.process("c")
	l := w.load(16)
	l.more(t, 500)
	require.NoError(t, process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(w.cluster.Traffic(), func(tr rpc.Traffic) bool {
			return tr.Instance.BootID == "a" && tr.InFlight > 3
		})
	}, patience, time.Millisecond)
	w.leave(hung)
	l.check(t)
	w.forgotten(hung)
}

// Who leaves in good order keeps its calls to their end: while it still takes connections, and when it does not.
func TestSlowCallOfOneThatLeft(t *testing.T) {
	for name, drains := range map[string]bool{"it answers": false, "it drains": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rpc.ClusterOptions{})
			began := make(chan struct{})
			left := w.serve("a", newServer("a", func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
				close(began)
				select {
				case <-time.After(3500 * time.Millisecond): // more than a hung one would get
					return &pb.Message{Payload: []byte("done")}, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var calls sync.WaitGroup
			var answer *pb.Message
			var err error
			calls.Go(func() { answer, err = w.client().Unary(ctx, &pb.Message{}) })
			<-began
			w.serve("b", newServer("b", nil))
			w.leave(left)
			since := time.Now()
			if drains {
				require.NoError(t, left.server.Drain(ctx, left.grpc))
			}
			calls.Wait()
			require.NoError(t, err)
			require.Equal(t, "done", string(answer.GetPayload()))
			if !drains {
				require.True(t, w.cluster.Prober().LastSeen(left.record).After(since.Add(time.Second)), "it was asked")
			}
			require.Equal(t, "b", ask(ctx, t, w))
			w.forgotten(left)
		})
	}
}

// Who drains while the registry, which may be away, still lists it ends what it has; new calls go elsewhere.
func TestDrainingWhileListed(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	began, end := make(chan struct{}), make(chan struct{})
	var drained atomic.Bool
	draining := w.serve("a", newServer("a", func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
		if drained.Load() {
			return &pb.Message{Payload: []byte("too late")}, nil
		}
		close(began)
		select {
		case <-end:
			return &pb.Message{Payload: []byte("done")}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var calls sync.WaitGroup
	var answer *pb.Message
	var failed, cut error
	calls.Go(func() { answer, failed = w.client().Unary(ctx, &pb.Message{}) })
	<-began
	w.serve("b", newServer("b", nil))
	drained.Store(true)
	since := time.Now()
	calls.Go(func() { cut = draining.server.Drain(ctx, draining.grpc) })
	for time.Since(since) < 4*time.Second { // more than a hung one would get, and than it is avoided for
		require.Equal(t, "b", ask(ctx, t, w))
	}
	require.False(t, w.dir.IsDown(draining.record))
	close(end)
	calls.Wait()
	require.NoError(t, failed)
	require.NoError(t, cut)
	require.Equal(t, "done", string(answer.GetPayload()))
}

// Who hangs while it drains is found out as soon as any other.
func TestHungWhileItDrains(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Options: reads()})
	began := make(chan struct{})
	draining := w.serve("a", newServer("a", func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
		close(began)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	proxy := registrytest.NewProxy(t, draining.record.GRPC)
	draining.record.GRPC = proxy.Addr()
	w.put(draining)
	require.Eventually(t, func() bool { return w.dir.All(service)[0].GRPC == proxy.Addr() }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var calls sync.WaitGroup
	var answer *pb.Message
	var failed error
	calls.Go(func() { answer, failed = w.client().Unary(ctx, &pb.Message{}) })
	<-began
	w.serve("b", newServer("b", nil))
	drain, stop := context.WithCancel(ctx)
	calls.Go(func() { _ = draining.server.Drain(drain, draining.grpc) })
	require.Eventually(t, func() bool { // it says so
		return !slices.ContainsFunc(w.dir.Instances(service), func(i registry.Instance) bool { return i.BootID == "a" })
	}, patience, time.Millisecond)
	proxy.Cut()
	since := time.Now()
	require.Eventually(t, func() bool { return w.dir.IsDown(draining.record) }, patience, time.Millisecond)
	require.Less(t, time.Since(since), 8*time.Second, "it waits for gRPC's own pings")
	stop()
	calls.Wait()
	require.NoError(t, failed)
	require.Equal(t, "b", string(answer.GetPayload()))
}
