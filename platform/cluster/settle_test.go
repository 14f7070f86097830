package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/cluster"
	"hongyan/platform/registry"
	"hongyan/platform/registry/etcd"
	"hongyan/platform/registry/registrytest"
)

// awaiting starts a process with a gateway, which awaits others, and returns how its settling ends.
func awaiting(t *testing.T, cfg cluster.Config, patience time.Duration, own ...cluster.Member) (*cluster.Cluster, <-chan error) {
	t.Helper()
	all := append(own, cluster.Member{Name: "gateway", Awaits: []string{"identity", "room"}})
	c := open(t, cfg, cluster.Deps{}, all...)
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, c.Register(ctx))
	settled := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		settled <- c.Settle(ctx, patience)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return c, settled
}

func other(t *testing.T, cfg cluster.Config) registry.Registry {
	t.Helper()
	r, err := etcd.Open(t.Context(), etcd.Config{Endpoints: cfg.Endpoints, Prefix: cfg.Prefix})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func instance(service string, state registry.State) registry.Instance {
	return registry.Instance{Service: service, BootID: "other", State: state, GRPC: "127.0.0.1:1"}
}

// waits checks that a process goes on waiting for services while something else happens.
func waits(t *testing.T, c *cluster.Cluster, settled <-chan error, missing ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return state(c, "gateway") == registry.Starting && len(c.Awaited()) == len(missing)
	}, patience, time.Millisecond)
	require.Equal(t, missing, c.Awaited())
	select {
	case err := <-settled:
		require.Fail(t, "it has settled", "%v", err)
	default:
	}
}

// A service that awaits others is ready when each was ready once, though one has left meanwhile, and stays it when the registry
// has lost all of them.
func TestAwaitsOthersOnce(t *testing.T) {
	cfg := newServers(t)
	c, settled := awaiting(t, cfg, 10*patience)
	waits(t, c, settled, "identity", "room")
	r := other(t, cfg)
	require.NoError(t, r.Put(t.Context(), instance("room", registry.Ready)))
	waits(t, c, settled, "identity")
	require.NoError(t, r.Put(t.Context(), instance("room", registry.Draining)))
	require.NoError(t, r.Put(t.Context(), instance("identity", registry.Starting)))
	require.Eventually(t, func() bool { return state(c, "identity") == registry.Starting }, patience, time.Millisecond)
	waits(t, c, settled, "identity")
	require.NoError(t, r.Put(t.Context(), instance("identity", registry.Ready)))
	require.NoError(t, <-settled)
	require.Empty(t, c.Awaited())
	require.Eventually(t, func() bool { return state(c, "gateway") == registry.Ready }, patience, time.Millisecond)

	require.NoError(t, r.Remove(t.Context(), instance("identity", registry.Ready)))
	require.NoError(t, r.Remove(t.Context(), instance("room", registry.Ready)))
	require.Eventually(t, func() bool { return !c.Directory().Named("identity") && !c.Directory().Named("room") }, patience, time.Millisecond)
	require.Empty(t, c.Awaited())
	require.Equal(t, registry.Ready, state(c, "gateway"))
}

// What is not deployed is not waited for without end, once something is.
func TestAwaitsWhatIsDeployed(t *testing.T) {
	cfg := newServers(t)
	c, settled := awaiting(t, cfg, time.Millisecond)
	waits(t, c, settled, "identity", "room") // nobody is there: it may be a start of everything
	require.NoError(t, other(t, cfg).Put(t.Context(), instance("identity", registry.Ready)))
	require.NoError(t, <-settled)
	require.Eventually(t, func() bool { return state(c, "gateway") == registry.Ready }, patience, time.Millisecond)
}

// Services of the same process are there; while the registry is away nobody knows about others.
func TestAwaitsWithoutRegistry(t *testing.T) {
	cfg := newServers(t)
	proxy := registrytest.NewProxy(t, cfg.Endpoints[0])
	cfg.Endpoints = []string{proxy.Addr()}
	proxy.Cut()
	c, settled := awaiting(t, cfg, time.Millisecond, cluster.Member{Name: "identity"})
	require.Equal(t, []string{"room"}, c.Awaited())
	select {
	case err := <-settled:
		require.Fail(t, "it has settled", "%v", err)
	case <-time.After(100 * time.Millisecond):
	}
	proxy.Mend()
	require.NoError(t, <-settled)
}

// Who has all in one process awaits nobody, and is registered at once.
func TestAwaitsNobodyAlone(t *testing.T) {
	c, settled := awaiting(t, cluster.Default(), patience, cluster.Member{Name: "identity"}, cluster.Member{Name: "room"})
	require.Empty(t, c.Awaited())
	require.NoError(t, <-settled)
	require.Eventually(t, func() bool { return state(c, "gateway") == registry.Ready }, patience, time.Millisecond)
}
