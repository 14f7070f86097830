package cluster_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/cluster"
	"hongyan/platform/registry"
)

// leaves tells whether a process that hands over has finished within a moment, and waits until it has.
func leaves(t *testing.T, c *cluster.Cluster, findTime, moment time.Duration) bool {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.HandOver(context.Background(), findTime)
	}()
	select {
	case <-done:
		return true
	case <-time.After(moment):
		<-done
		return false
	}
}

// Who takes requests from outside does not leave before balancers can have found another that has just come; it does at once
// where one has been there for long.
func TestHandsOverToWhoWasFound(t *testing.T) {
	cfg := newServers(t)
	public := func() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
	c := open(t, cfg, cluster.Deps{}, cluster.Member{Name: "gateway", Public: public}, cluster.Member{Name: "room"})
	require.NoError(t, c.Register(t.Context()))
	const findTime, moment = 500 * time.Millisecond, 200 * time.Millisecond
	require.False(t, leaves(t, c, findTime, moment), "another one may have come that is not known yet")

	r := other(t, cfg)
	require.NoError(t, r.Put(t.Context(), instance("room", registry.Ready)))
	require.NoError(t, r.Put(t.Context(), instance("gateway", registry.Starting)))
	require.Eventually(t, func() bool { return len(c.Directory().All("gateway")) == 2 }, patience, time.Millisecond)
	require.False(t, leaves(t, c, findTime, moment), "the other does not take requests yet")

	require.NoError(t, r.Put(t.Context(), instance("gateway", registry.Ready)))
	require.Eventually(t, func() bool { return len(c.Directory().Instances("gateway")) == 2 }, patience, time.Millisecond)
	require.WithinDuration(t, time.Now(), c.Directory().ReadySince(instance("gateway", registry.Ready)), patience)
	require.False(t, leaves(t, c, findTime, moment), "nobody can have found the other yet")
	require.True(t, leaves(t, c, time.Nanosecond, patience), "it has been there for long")
}

// A process that is alone has nobody to wait for.
func TestHandsOverToNobodyAlone(t *testing.T) {
	public := func() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
	c := open(t, cluster.Default(), cluster.Deps{}, cluster.Member{Name: "gateway", Public: public})
	require.True(t, leaves(t, c, time.Hour, patience))
}
