package rpc_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"hongyan/matrix"
	"hongyan/platform/rpc"
	"hongyan/platform/rpc/rpctest"
)

func TestInProcessConforms(t *testing.T) {
	rpctest.Run(t, func(_ *testing.T, server *rpc.Server, opts rpc.Options) *rpc.Conns {
		conns, local := rpc.NewLocal(opts)
		local.Add(server)
		return conns
	})
}

func TestNetworkConforms(t *testing.T) { rpctest.Run(t, overTCP) }

func overTCP(t *testing.T, server *rpc.Server, opts rpc.Options) *rpc.Conns {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := server.NewGRPC()
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(listener) })
	cc, err := rpc.Dial(listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = cc.Close()
		g.Stop()
		serving.Wait()
	})
	return rpc.NewFixed(map[string][]grpc.ClientConnInterface{rpctest.Service: {cc}}, opts)
}

type counter struct {
	pb.UnimplementedTestServiceServer
	mu    sync.Mutex
	calls int
	fail  error
}

func (c *counter) Unary(context.Context, *pb.Message) (*pb.Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	return &pb.Message{}, c.fail
}

// A broadcast reaches every instance, even when some fail; a call reaches one.
func TestLocalInstances(t *testing.T) {
	conns, local := rpc.NewLocal(rpc.Options{})
	client := pb.NewTestServiceClient(conns.Conn("gateway")) // before there is one
	counters := []*counter{{}, {fail: errors.New("broken")}, {}}
	var servers []*rpc.Server
	for _, c := range counters {
		s := rpc.NewServer("gateway", rpc.Options{})
		pb.RegisterTestServiceServer(s, c)
		local.Add(s)
		servers = append(servers, s)
	}
	err := conns.Broadcast(t.Context(), "gateway", func(ctx context.Context, cc grpc.ClientConnInterface) error {
		_, err := pb.NewTestServiceClient(cc).Unary(ctx, &pb.Message{})
		return err
	})
	require.Error(t, err)
	for _, c := range counters {
		require.Equal(t, 1, c.calls)
	}
	_, err = client.Unary(t.Context(), &pb.Message{})
	require.NoError(t, err)
	require.Equal(t, 2, counters[0].calls)
	for _, s := range servers {
		require.NoError(t, s.Close(t.Context()))
	}
	_, err = client.Unary(t.Context(), &pb.Message{})
	require.Equal(t, 503, matrix.AsError(err).Status)
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := rpc.Options{Registerer: reg}
	conns, local := rpc.NewLocal(opts)
	s := rpc.NewServer("a", opts)
	pb.RegisterTestServiceServer(s, &counter{fail: matrix.NewError(matrix.CodeForbidden, "No.")})
	local.Add(s)
	rpc.NewServer("b", opts) // shares the collector
	_, err := pb.NewTestServiceClient(conns.Conn("a")).Unary(t.Context(), &pb.Message{})
	require.Error(t, err)
	families, err := reg.Gather()
	require.NoError(t, err)
	seen := map[string]string{}
	for _, f := range families {
		seen[f.GetName()] = f.GetMetric()[0].String()
	}
	for _, name := range []string{"hongyan_rpc_client_seconds", "hongyan_rpc_server_seconds"} {
		require.Contains(t, seen[name], "PermissionDenied")
		require.Contains(t, seen[name], "/grpchantesting.TestService/Unary")
	}
}

func TestKey(t *testing.T) {
	_, ok := rpc.KeyOf(t.Context())
	require.False(t, ok)
	key, ok := rpc.KeyOf(rpc.WithKey(t.Context(), "!r:b"))
	require.True(t, ok)
	require.Equal(t, "!r:b", key)
}

func BenchmarkInProcess(b *testing.B) {
	conns, local := rpc.NewLocal(rpc.Options{})
	s := rpc.NewServer("a", rpc.Options{})
	pb.RegisterTestServiceServer(s, &counter{})
	local.Add(s)
	client := pb.NewTestServiceClient(conns.Conn("a"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Unary(b.Context(), &pb.Message{}); err != nil {
			b.Fatal(err)
		}
	}
}
