package rpc_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"sync"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"hongyan/platform/cluster"
	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
	"hongyan/platform/rpc"
	"hongyan/platform/rpc/rpctest"
)

const (
	patience = 20 * time.Second
	service  = rpctest.Service
	shards   = 64
)

// world is a deployment in one process: a registry, a caller's directory and cluster, and instances over TCP.
type world struct {
	t       testing.TB
	store   *memory.Store
	dir     *registry.Directory
	cluster *rpc.Cluster
	options []grpc.ServerOption // of the nodes that are served next
}

func shardOf(key string, shards int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(shards))
}

func newWorld(t testing.TB, opts rpc.ClusterOptions) *world {
	t.Helper()
	store := memory.NewStore()
	reg := store.Open()
	dir, err := registry.NewDirectory(reg, registry.DirectoryConfig{Shards: shards, ShardOf: shardOf})
	require.NoError(t, err)
	if opts.Self == "" {
		opts.Self = "caller"
	}
	cluster, err := rpc.NewCluster(dir, opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = dir.Run(ctx) })
	running.Go(func() { _ = cluster.Run(ctx) })
	t.Cleanup(func() {
		require.NoError(t, cluster.Close())
		cancel()
		running.Wait()
		require.NoError(t, reg.Close())
	})
	return &world{t: t, store: store, dir: dir, cluster: cluster}
}

// node is an instance over TCP.
type node struct {
	record   registry.Instance
	registry *memory.Registry
	server   *rpc.Server
	grpc     *grpc.Server
	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

// Accept remembers connections, so that a test can cut them.
func (n *node) Accept() (net.Conn, error) {
	c, err := n.listener.Accept()
	if err == nil {
		n.mu.Lock()
		n.conns = append(n.conns, c)
		n.mu.Unlock()
	}
	return c, err
}
func (n *node) Close() error   { return n.listener.Close() }
func (n *node) Addr() net.Addr { return n.listener.Addr() }

// kill does what a kill does to an instance's connections: nothing is finished, nobody is told.
func (n *node) kill() {
	_ = n.listener.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		_ = c.Close()
	}
}

func (w *world) serve(id string, server *rpc.Server, change ...func(*registry.Instance)) *node {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	n := &node{server: server, grpc: server.NewGRPC(w.options...), listener: listener, registry: w.store.Open(), record: registry.Instance{
		Service: server.Service(), BootID: id, GRPC: listener.Addr().String(), State: registry.Ready,
	}}
	for _, c := range change {
		c(&n.record)
	}
	n.serving.Go(func() { _ = n.grpc.Serve(n) })
	w.t.Cleanup(func() {
		n.grpc.Stop()
		n.serving.Wait()
		require.NoError(w.t, n.registry.Close())
	})
	w.put(n)
	return n
}

// put stores a node's record and waits until the caller knows it.
func (w *world) put(n *node) {
	w.t.Helper()
	require.NoError(w.t, n.registry.Put(context.Background(), n.record))
	require.Eventually(w.t, func() bool {
		for _, i := range w.dir.All(n.record.Service) {
			if i.BootID == n.record.BootID && i.State == n.record.State {
				return true
			}
		}
		return false
	}, patience, time.Millisecond)
}

func (w *world) client() pb.TestServiceClient {
	return pb.NewTestServiceClient(w.cluster.Conns().Conn(service))
}

// handler is an instance that says who it is.
type handler struct {
	pb.UnimplementedTestServiceServer
	id    string
	unary func(context.Context, *pb.Message) (*pb.Message, error)
}

func (h *handler) Unary(ctx context.Context, m *pb.Message) (*pb.Message, error) {
	if h.unary != nil {
		return h.unary(ctx, m)
	}
	return &pb.Message{Payload: []byte(h.id)}, nil
}

func newServer(id string, unary func(context.Context, *pb.Message) (*pb.Message, error)) *rpc.Server {
	s := rpc.NewServer(service, rpc.Options{})
	pb.RegisterTestServiceServer(s, &handler{id: id, unary: unary})
	return s
}

func TestClusterConforms(t *testing.T) {
	rpctest.Run(t, func(t *testing.T, server *rpc.Server, opts rpc.Options) *rpc.Conns {
		w := newWorld(t, rpc.ClusterOptions{Options: opts})
		w.serve("a", server)
		return w.cluster.Conns()
	})
}

func TestClusterOverTLSConforms(t *testing.T) {
	member, err := cluster.FromSecret("a secret that the whole cluster knows")
	require.NoError(t, err)
	rpctest.Run(t, func(t *testing.T, server *rpc.Server, opts rpc.Options) *rpc.Conns {
		w := newWorld(t, rpc.ClusterOptions{Options: opts, Credentials: credentials.NewTLS(member.Client())})
		w.options = []grpc.ServerOption{grpc.Creds(credentials.NewTLS(member.Server()))}
		w.serve("a", server)
		return w.cluster.Conns()
	})
}

func TestClusterInProcessConforms(t *testing.T) {
	rpctest.Run(t, func(t *testing.T, server *rpc.Server, opts rpc.Options) *rpc.Conns {
		w := newWorld(t, rpc.ClusterOptions{Options: opts, Self: "me"})
		w.cluster.Local().Add(server)
		w.serve("me", server)
		return w.cluster.Conns()
	})
}

func ask(ctx context.Context, t testing.TB, w *world) string {
	t.Helper()
	m, err := w.client().Unary(ctx, &pb.Message{})
	require.NoError(t, err)
	return string(m.GetPayload())
}

func three(w *world) []*node {
	nodes := make([]*node, 3)
	for i := range nodes {
		id := string(rune('a' + i))
		nodes[i] = w.serve(id, newServer(id, nil))
	}
	return nodes
}

// Calls without a key reach all instances, those with one its owner, before and after one of them leaves.
func TestClusterChooses(t *testing.T) {
	w := newWorld(t, rpc.ClusterOptions{})
	nodes := three(w)
	seen := map[string]int{}
	for range 300 {
		seen[ask(t.Context(), t, w)]++
	}
	require.Len(t, seen, 3)
	check := func() {
		for i := range 100 {
			key := fmt.Sprintf("!room%d:test", i)
			owner, ok := w.dir.OwnerOf(service, key)
			require.True(t, ok)
			require.Equal(t, owner.BootID, ask(rpc.WithKey(t.Context(), key), t, w))
		}
	}
	check()
	require.NoError(t, nodes[1].registry.Remove(t.Context(), nodes[1].record))
	require.Eventually(t, func() bool { return len(w.dir.All(service)) == 2 }, patience, time.Millisecond)
	check()
}
