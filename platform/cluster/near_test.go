package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/cluster"
	"hongyan/platform/registry"
	"hongyan/platform/registry/etcd"
)

// A process without credentials passes over whoever the registry says is on another machine, and says so; one with a secret
// does not.
func TestNothingInTheClearToOtherMachines(t *testing.T) {
	cfg := newServers(t)
	logs := listenToLogs(t)
	other, err := etcd.Open(t.Context(), etcd.Config{Endpoints: cfg.Endpoints, Prefix: cfg.Prefix})
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	near := []registry.Instance{
		{Service: "edge", BootID: "clients", HTTP: "192.0.2.1:8008", GRPC: "127.0.0.1:1"},
		{Service: "room", BootID: "four", HTTP: "127.0.0.2:1", GRPC: "localhost:2"},
		{Service: "room", BootID: "none"},
		{Service: "room", BootID: "six", HTTP: "[::1]:1", GRPC: "[::1]:2"},
	}
	far := []registry.Instance{
		{Service: "edge", BootID: "calls", HTTP: "127.0.0.1:1", GRPC: "192.0.2.1:1"},
		{Service: "echo", BootID: "foreign", HTTP: "192.0.2.2:1"},
		{Service: "room", BootID: "calls", HTTP: "127.0.0.1:1", GRPC: "192.0.2.3:1"},
		{Service: "room", BootID: "http", HTTP: "192.0.2.3:1", GRPC: "127.0.0.1:1"},
		{Service: "room", BootID: "name", HTTP: "localhost.example.org:1"},
		{Service: "room", BootID: "noport", HTTP: "127.0.0.1"},
	}
	for _, i := range append(far, near...) { // those that are seen come last
		i.State, i.Started = registry.Ready, time.Unix(0, 0)
		require.NoError(t, other.Put(within(t, patience), i))
	}
	keys := func(c *cluster.Cluster) (keys []string) {
		for _, service := range c.Directory().Services() {
			for _, i := range c.Directory().All(service) {
				keys = append(keys, i.Key())
			}
		}
		return keys
	}
	c := open(t, cfg, cluster.Deps{Edge: "edge"}, members(1)...)
	require.NoError(t, c.Register(within(t, patience)))
	seen := []string{"service-0/boot"}
	for _, i := range near {
		seen = append(seen, i.Key())
	}
	require.Eventually(t, func() bool { return len(keys(c)) >= len(seen) }, patience, time.Millisecond)
	require.ElementsMatch(t, seen, keys(c))
	for _, i := range far {
		require.Contains(t, logs.String(), i.Key()+" at ")
	}
	require.Contains(t, logs.String(), "cluster.secret")

	cfg.Secret = secret
	c = open(t, cfg, cluster.Deps{Edge: "edge"})
	require.Eventually(t, func() bool { return len(keys(c)) == len(seen)+len(far) }, patience, time.Millisecond)
}
