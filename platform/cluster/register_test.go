package cluster_test

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus/nats"
	"hongyan/platform/cluster"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/registry/etcd"
	"hongyan/platform/registry/etcd/etcdserver"
	"hongyan/platform/registry/registrytest"
	"hongyan/platform/rpc"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// patience is how long something may take that happens soon.
const patience = 30 * time.Second

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// newServers starts an etcd and a bus, and returns the configuration of processes that share them.
func newServers(t *testing.T) cluster.Config {
	t.Helper()
	etcdServer, err := etcdserver.Start(within(t, patience), etcdserver.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(etcdServer.Close)
	cfg := cluster.Default()
	cfg.Registry, cfg.Endpoints, cfg.Bus = cluster.Etcd, []string{etcdServer.Endpoint()}, []cluster.BusURL{cluster.BusURL(startBus(t))}
	return cfg
}

func startBus(t *testing.T) string {
	t.Helper()
	bus, err := nats.StartServer(nats.ServerConfig{Host: "127.0.0.1", Port: -1})
	require.NoError(t, err)
	t.Cleanup(bus.Close)
	return bus.URL()
}

// open starts a process, all of whose parts end with the test.
func open(t *testing.T, cfg cluster.Config, deps cluster.Deps, members ...cluster.Member) *cluster.Cluster {
	t.Helper()
	deps.BootID, deps.Clock, deps.Shards = "boot", time.Now, 1
	deps.ShardOf = func(string, int) int { return 0 }
	c, err := cluster.Open(t.Context(), cfg, deps)
	require.NoError(t, err)
	for _, m := range members {
		m.RPC = rpc.NewServer(m.Name, rpc.Options{})
		m.Handler = http.NotFoundHandler()
		require.NoError(t, c.Add(m))
	}
	require.NoError(t, c.Listen(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = c.Run(ctx) })
	running.Go(func() { _ = c.Serve(ctx, ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		_ = c.Close() // the registry may be away
	})
	return c
}

func members(n int) []cluster.Member {
	all := make([]cluster.Member, n)
	for i := range all {
		all[i].Name = "service-" + strconv.Itoa(i)
	}
	return all
}

// state is what a service's instance takes; empty where there is none.
func state(c *cluster.Cluster, service string) registry.State {
	for _, i := range c.Directory().All(service) {
		return i.State
	}
	return ""
}

// A service that is not ready keeps no other one from being registered.
func TestServicesDoNotWaitForEachOther(t *testing.T) {
	first, last := make(chan struct{}), make(chan struct{})
	c := open(t, newServers(t), cluster.Deps{},
		cluster.Member{Name: "sync", Ready: first}, cluster.Member{Name: "gateway"}, cluster.Member{Name: "room", Ready: last})
	registered := make(chan error, 1)
	go func() { registered <- c.Register(within(t, patience)) }()
	see := func(sync, gateway, room registry.State) {
		require.Eventually(t, func() bool {
			return state(c, "sync") == sync && state(c, "gateway") == gateway && state(c, "room") == room
		}, patience, time.Millisecond)
	}
	see(registry.Starting, registry.Ready, registry.Starting)
	close(last)
	see(registry.Starting, registry.Ready, registry.Ready)
	select {
	case err := <-registered:
		require.Fail(t, "one is not ready", "%v", err)
	default:
	}
	close(first)
	require.NoError(t, <-registered)
	see(registry.Ready, registry.Ready, registry.Ready)
}

// Registering ends with its context, and with a record that cannot be registered.
func TestRegisterEnds(t *testing.T) {
	never := cluster.Member{Name: "sync", Ready: make(chan struct{})}
	c := open(t, cluster.Default(), cluster.Deps{}, never)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.Register(ctx), context.Canceled)

	c = open(t, cluster.Default(), cluster.Deps{}, never, cluster.Member{Name: "no/name"})
	err := c.Register(within(t, patience))
	require.ErrorContains(t, err, "no/name")
	require.NotErrorIs(t, err, context.Canceled)
}

// A registry that is away holds a process with many services up once, and none of them is forgotten.
func TestRegisterWithoutRegistry(t *testing.T) {
	cfg := newServers(t)
	proxy := registrytest.NewProxy(t, cfg.Endpoints[0])
	cfg.Endpoints = []string{proxy.Addr()}
	proxy.Cut()
	all := members(10)
	c := open(t, cfg, cluster.Deps{}, all...)
	require.NoError(t, c.Register(within(t, 10*time.Second)), "each of them waits for two seconds, all at once")
	proxy.Mend()
	for _, m := range all {
		require.Eventually(t, func() bool { return state(c, m.Name) == registry.Ready }, patience, time.Millisecond)
	}
}

// A process that leaves while the registry is away leaves no record behind once that is back.
func TestDeregisterWithoutRegistry(t *testing.T) {
	cfg := newServers(t)
	other, err := etcd.Open(t.Context(), etcd.Config{Endpoints: cfg.Endpoints, Prefix: cfg.Prefix})
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	lists, err := other.Watch(within(t, 2*patience))
	require.NoError(t, err)
	see := func(n int) {
		t.Helper()
		end := time.After(patience)
		last := -1
		for last != n {
			select {
			case list := <-lists:
				last = len(list)
			case <-end:
				require.Fail(t, "never saw them", "want %d, last %d", n, last)
			}
		}
	}
	proxy := registrytest.NewProxy(t, cfg.Endpoints[0])
	cfg.Endpoints = []string{proxy.Addr()}
	c := open(t, cfg, cluster.Deps{}, members(4)...)
	require.NoError(t, c.Register(within(t, patience)))
	see(4)
	proxy.Cut()
	c.Deregister(t.Context())
	proxy.Mend()
	see(0)
}

// An address that only this machine reaches is told to nobody on another one.
func TestAdminAddress(t *testing.T) {
	everywhere := cluster.Default()
	everywhere.Listen, everywhere.Advertise, everywhere.Secret = "0.0.0.0:0", "192.0.2.1", secret
	here := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9008}
	for name, tt := range map[string]struct {
		cfg   cluster.Config
		admin *net.TCPAddr
		want  string
	}{
		"all on one machine":   {cluster.Default(), here, "127.0.0.1:9008"},
		"admin on this one":    {everywhere, here, ""},
		"admin on its address": {everywhere, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 9008}, "192.0.2.7:9008"},
		"admin on all of them": {everywhere, &net.TCPAddr{IP: net.IPv4zero, Port: 9008}, "192.0.2.1:9008"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, tt.cfg, cluster.Deps{Admin: func() net.Addr { return tt.admin }}, members(1)...)
			require.NoError(t, c.Register(within(t, patience)))
			require.Eventually(t, func() bool { return state(c, "service-0") == registry.Ready }, patience, time.Millisecond)
			require.Equal(t, tt.want, c.Directory().All("service-0")[0].Admin)
		})
	}
}
