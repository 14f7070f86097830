package cluster_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/cluster"
	"hongyan/platform/registry"
	"hongyan/platform/rpc"
)

// A service that left and does not answer any more gives its routes up; the program's own are no foreign ones.
func TestForeignServicesThatAreGone(t *testing.T) {
	var hours atomic.Int64
	c, err := cluster.Open(t.Context(), cluster.Default(), cluster.Deps{
		BootID: "me", Shards: 1, ShardOf: func(string, int) int { return 0 },
		Clock: func() time.Time { return time.Unix(3600*hours.Load(), 0) },
	})
	require.NoError(t, err)
	for _, name := range []string{"echo", "room"} {
		require.NoError(t, c.Add(cluster.Member{Name: name, RPC: rpc.NewServer(name, rpc.Options{})}))
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, c.Close())
	}()
	dir, foreign := c.Directory(), c.Foreign([]string{"room"})
	named := func(want bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			return dir.Named("echo") == want && dir.Named("room") == want
		}, 20*time.Second, time.Millisecond)
	}
	require.NoError(t, c.Register(t.Context()))
	named(true)
	list, _ := foreign.Instances()
	require.Len(t, list, 1)
	require.Equal(t, "echo", list[0].Service)

	c.Deregister(t.Context())
	named(false)
	echo := registry.Instance{Service: "echo", BootID: "me"}
	dir.SetDown(echo, registry.PortHTTP, true)
	list, changed := foreign.Instances()
	require.Len(t, list, 1, "it may come back")
	hours.Add(1)
	dir.SetDown(echo, registry.PortHTTP, true)
	<-changed
	list, _ = foreign.Instances()
	require.Empty(t, list)
}
