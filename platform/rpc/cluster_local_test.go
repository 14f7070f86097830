package rpc_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"hongyan/matrix"
	"hongyan/platform/registry"
	"hongyan/platform/rpc"
)

// A process answers its own calls, except for keys that another owns, and asks others once its own server closes.
func TestOwnInstance(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Self: "me"})
	own := newServer("me", nil)
	w.cluster.Local().Add(own)
	require.Equal(t, "me", ask(t.Context(), t, w), "before anything is registered")
	require.Equal(t, "me", ask(rpc.WithKey(t.Context(), "!r:b"), t, w))
	w.serve("me", own)
	w.serve("other", newServer("other", nil))
	for range 100 {
		require.Equal(t, "me", ask(t.Context(), t, w))
	}
	seen := map[string]bool{}
	for i := range 100 {
		key := fmt.Sprintf("!room%d:test", i)
		owner, _ := w.dir.OwnerOf(service, key)
		seen[owner.BootID] = true
		require.Equal(t, owner.BootID, ask(rpc.WithKey(t.Context(), key), t, w))
	}
	require.Len(t, seen, 2)
	require.Len(t, w.cluster.Conns().All(service), 2)
	require.NoError(t, own.Close(t.Context()))
	for i := range 100 {
		require.Equal(t, "other", ask(t.Context(), t, w))
		require.Equal(t, "other", ask(rpc.WithKey(t.Context(), fmt.Sprintf("!room%d:test", i)), t, w))
	}
}

// An instance in the caller's zone is preferred while there is one.
func TestZones(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{Zone: "east"})
	zone := func(name string) func(*registry.Instance) { return func(i *registry.Instance) { i.Zone = name } }
	near := w.serve("near", newServer("near", nil), zone("east"))
	w.serve("far", newServer("far", nil), zone("west"))
	require.Eventually(t, func() bool { return ask(t.Context(), t, w) == "near" }, patience, time.Millisecond)
	for range 100 {
		require.Equal(t, "near", ask(t.Context(), t, w))
	}
	near.kill()
	require.Eventually(t, func() bool {
		m, err := w.client().Unary(t.Context(), &pb.Message{})
		return err == nil && string(m.GetPayload()) == "far"
	}, patience, time.Millisecond)
}

// An instance that is slower than the others gets a small share of the calls.
func TestSlowInstance(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	three(w)
	w.serve("slow", newServer("slow", func(context.Context, *pb.Message) (*pb.Message, error) {
		<-time.After(100 * time.Millisecond)
		return &pb.Message{Payload: []byte("slow")}, nil
	}))
	l := w.load(8)
	l.more(t, 2000)
	l.check(t)
	require.Less(t, l.from("slow")*4, l.calls.Load(), "half of the calls have a key, a quarter of which it owns")
	client, slow := w.client(), 0
	for range 500 {
		m, err := client.Unary(t.Context(), &pb.Message{})
		require.NoError(t, err)
		if string(m.GetPayload()) == "slow" {
			slow++
		}
	}
	require.Less(t, slow, 50)
}

// series counts those of a metric.
func series(t *testing.T, reg *prometheus.Registry, name string) int {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return len(f.GetMetric())
		}
	}
	return 0
}

// The breaker of an instance that always fails opens, and closes when it works again.
func TestBreaker(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := newWorld(t, rpc.ClusterOptions{Options: rpc.Options{Registerer: reg}})
	var broken atomic.Bool
	broken.Store(true)
	w.serve("good", newServer("good", nil))
	bad := w.serve("bad", newServer("bad", func(context.Context, *pb.Message) (*pb.Message, error) {
		if broken.Load() {
			return nil, matrix.Internal(nil)
		}
		return &pb.Message{Payload: []byte("bad")}, nil
	}))
	state := func() bool {
		for _, tr := range w.cluster.Traffic() {
			if tr.Instance.BootID == "bad" {
				return tr.Open
			}
		}
		return false
	}
	require.Eventually(t, func() bool {
		_, _ = w.client().Unary(t.Context(), &pb.Message{})
		return state()
	}, patience, time.Millisecond)
	require.Equal(t, 1, series(t, reg, "hongyan_rpc_client_breaker_open"))
	broken.Store(false)
	require.Eventually(t, func() bool {
		_, _ = w.client().Unary(t.Context(), &pb.Message{})
		return !state()
	}, patience, time.Millisecond)
	require.Equal(t, 0, series(t, reg, "hongyan_rpc_client_breaker_open"))
	require.Equal(t, 4, series(t, reg, "hongyan_rpc_client_calls_total"))
	require.NoError(t, bad.registry.Remove(t.Context(), bad.record))
	require.Eventually(t, func() bool {
		return series(t, reg, "hongyan_rpc_client_calls_total") == 2
	}, patience, time.Millisecond, "series go with their instance")
}

// The breaker of the only instance stops nothing.
func TestBreakerOfTheOnlyInstance(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	var calls atomic.Int64
	w.serve("a", newServer("a", func(context.Context, *pb.Message) (*pb.Message, error) {
		calls.Add(1)
		return nil, matrix.Internal(nil)
	}))
	for range 50 {
		_, err := w.client().Unary(t.Context(), &pb.Message{})
		require.Equal(t, 500, matrix.AsError(err).Status)
	}
	require.EqualValues(t, 50, calls.Load())
	require.True(t, w.cluster.Traffic()[0].Open)
}

// A broadcast goes to all that are known: those that drain answer, one that hangs or is gone fails.
func TestBroadcastToAll(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	nodes := three(w)
	nodes[0].record.State = registry.Draining
	w.put(nodes[0])
	tell := func() (map[string]bool, error) {
		var mu sync.Mutex
		told := map[string]bool{}
		return told, w.cluster.Conns().Broadcast(t.Context(), service, func(ctx context.Context, cc grpc.ClientConnInterface) error {
			m, err := pb.NewTestServiceClient(cc).Unary(ctx, &pb.Message{})
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				told[string(m.GetPayload())] = true
			}
			return err
		})
	}
	told, err := tell()
	require.NoError(t, err)
	require.Len(t, told, 3)
	nodes[1].kill()
	require.Eventually(t, func() bool {
		told, err = tell()
		return err != nil && len(told) == 2
	}, patience, 10*time.Millisecond)
	require.Equal(t, 503, matrix.AsError(err).Status)
}

// An instance that was listed just now is reached by whoever sees it in the list, though its transport is only being made.
func TestListedJustNow(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	w.serve("first", newServer("first", nil))
	require.Equal(t, "first", ask(t.Context(), t, w))
	for i := range 30 {
		n := w.serve(fmt.Sprintf("n%d", i), newServer("n", nil))
		require.Len(t, w.cluster.Conns().All(service), i+2)
		require.NoError(t, w.cluster.Conns().Broadcast(t.Context(), service, func(ctx context.Context, cc grpc.ClientConnInterface) error {
			_, err := pb.NewTestServiceClient(cc).Unary(ctx, &pb.Message{})
			return err
		}))
		require.False(t, w.dir.IsDown(n.record))
	}
}

// Something that takes connections and never says anything is found out, and what waited for it goes elsewhere.
func TestSilentListener(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	w.serve("a", newServer("a", nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	silent := &node{registry: w.store.Open(), record: registry.Instance{
		Service: service, BootID: "silent", GRPC: listener.Addr().String(), State: registry.Ready,
	}}
	defer func() { _ = silent.registry.Close() }()
	l := w.load(8)
	l.more(t, 100)
	w.put(silent)
	require.Eventually(t, func() bool { return w.dir.IsDown(silent.record) }, patience, time.Millisecond)
	l.more(t, 100)
	l.check(t)
}

// A service that nobody has heard of yet may come within a second of a process's start; later it fails at once.
func TestServiceToCome(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1000, 0)
	w := newWorld(t, rpc.ClusterOptions{Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	answer := make(chan error, 1)
	go func() {
		_, err := w.client().Unary(context.Background(), &pb.Message{})
		answer <- err
	}()
	w.serve("a", newServer("a", nil))
	require.NoError(t, <-answer)
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := w.cluster.Conns().Conn("absent").Invoke(ctx, "/a.B/C", &pb.Message{}, &pb.Message{})
	require.Equal(t, 503, matrix.AsError(err).Status)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

// A server is healthy until it closes, and answers that it is not from then on.
func TestHealth(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	n := w.serve("a", newServer("a", nil))
	health := healthpb.NewHealthClient(w.cluster.Conns().Conn(service))
	for _, name := range []string{"", service} {
		res, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name})
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_SERVING, res.GetStatus())
	}
	require.NoError(t, n.server.Close(t.Context()))
	res, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, res.GetStatus())
}

// Drain cuts off what does not end in time, and says so.
func TestDrainEnds(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	started := make(chan struct{})
	n := w.serve("a", newServer("a", func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	answer := make(chan error, 1)
	go func() {
		_, err := w.client().Unary(context.Background(), &pb.Message{})
		answer <- err
	}()
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, n.server.Drain(ctx, n.grpc), context.DeadlineExceeded)
	require.Equal(t, 503, matrix.AsError(<-answer).Status)
}

func TestClosedCluster(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	w.serve("a", newServer("a", nil))
	require.Equal(t, "a", ask(t.Context(), t, w))
	require.NoError(t, w.cluster.Close())
	_, err := w.client().Unary(t.Context(), &pb.Message{})
	require.Equal(t, 503, matrix.AsError(err).Status)
}

func TestClusterNeedsItsOptions(t *testing.T) {
	_, err := rpc.NewCluster(nil, rpc.ClusterOptions{Self: "me"})
	require.Error(t, err)
	_, err = rpc.NewCluster(newWorld(t, rpc.ClusterOptions{}).dir, rpc.ClusterOptions{})
	require.Error(t, err)
}

func BenchmarkCluster(b *testing.B) {
	bench := func(b *testing.B, client pb.TestServiceClient) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := client.Unary(b.Context(), &pb.Message{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("one instance", func(b *testing.B) {
		w := newWorld(b, rpc.ClusterOptions{})
		w.serve("a", newServer("a", nil))
		bench(b, w.client())
	})
	b.Run("three instances", func(b *testing.B) {
		w := newWorld(b, rpc.ClusterOptions{})
		three(w)
		bench(b, w.client())
	})
	b.Run("own instance", func(b *testing.B) {
		w := newWorld(b, rpc.ClusterOptions{Self: "me"})
		own := newServer("me", nil)
		w.cluster.Local().Add(own)
		w.serve("me", own)
		bench(b, w.client())
	})
	b.Run("plain gRPC", func(b *testing.B) {
		w := newWorld(b, rpc.ClusterOptions{})
		n := w.serve("a", newServer("a", nil))
		cc, err := rpc.Dial(n.record.GRPC)
		require.NoError(b, err)
		defer func() { _ = cc.Close() }()
		bench(b, pb.NewTestServiceClient(cc))
	})
}
