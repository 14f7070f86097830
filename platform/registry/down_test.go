package registry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
)

// A service is gone when the registry does not name it and nobody has answered for long. Then only the registry brings it
// back: who answers at its address may be anybody.
func TestDirectoryKnowsWhoIsGone(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, c := directory(t, r)
	a, b := room("a", registry.Ready), room("b", registry.Ready)
	a.HTTP, b.HTTP = "127.0.0.1:1", "127.0.0.1:2"
	a.GRPC, a.Routes = "127.0.0.1:3", []registry.Route{{Method: "GET", Path: "/x"}} // nobody calls it
	down := func(down bool) { d.SetDown(a, registry.PortHTTP, down) }
	named := func(want bool) {
		t.Helper()
		require.Eventually(t, func() bool { return d.Named("room") == want }, 20*time.Second, time.Millisecond)
	}
	require.False(t, d.Named("room"))
	require.NoError(t, r.Put(t.Context(), a))
	named(true)
	down(true)
	c.advance(time.Hour)
	down(true)
	require.Equal(t, []string{"room"}, d.Services(), "the registry names it")
	require.NoError(t, r.Remove(t.Context(), a))
	named(false)
	down(true)
	require.Equal(t, []string{"room"}, d.Services(), "the registry has just lost it, perhaps with its memory")
	down(false)
	down(true)
	c.advance(15*time.Second - 1)
	down(true)
	require.Equal(t, []string{"a"}, names(d.Instances("room")), "it may come back")
	changed := d.Changed()
	c.advance(1)
	down(true)
	<-changed
	require.Empty(t, d.Services())
	require.Empty(t, d.Instances("room"))
	down(false)
	require.Empty(t, d.Services(), "a stranger answers")
	require.Empty(t, d.All("room"))
	require.NoError(t, r.Put(t.Context(), b))
	named(true)
	require.Equal(t, []string{"b"}, names(d.Instances("room")))
}

// A service of the program has gone when none of its ports answers: each is asked by somebody else.
func TestDirectoryKeepsWhoAnswersAtOnePort(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, c := directory(t, r)
	a := room("a", registry.Ready)
	a.HTTP, a.GRPC = "127.0.0.1:1", "127.0.0.1:2"
	require.NoError(t, r.Put(t.Context(), a))
	require.Eventually(t, func() bool { return d.Named("room") }, 20*time.Second, time.Millisecond)
	require.NoError(t, r.Remove(t.Context(), a))
	require.Eventually(t, func() bool { return !d.Named("room") }, 20*time.Second, time.Millisecond)
	d.SetDown(a, registry.PortHTTP, true)
	c.advance(time.Hour)
	d.SetDown(a, registry.PortHTTP, true)
	d.SetDown(a, registry.PortGRPC, false)
	require.Equal(t, []string{"a"}, names(d.All("room")))
	d.SetDown(a, registry.PortGRPC, true)
	require.Equal(t, []string{"a"}, names(d.All("room")))
	c.advance(time.Hour)
	d.SetDown(a, registry.PortGRPC, true)
	require.Empty(t, d.All("room"))
}

// Two who ask at two ports do not undo what the other says.
func TestDirectoryKnowsPortsApart(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, _ := directory(t, r)
	a, b := room("a", registry.Ready), room("b", registry.Ready)
	require.NoError(t, r.Put(t.Context(), a))
	require.NoError(t, r.Put(t.Context(), b))
	usable := func() []registry.Instance { return d.Instances("room") }
	eventually(t, []string{"a", "b"}, usable)
	d.SetDown(a, registry.PortHTTP, true)
	d.SetDown(a, registry.PortGRPC, false)
	require.True(t, d.IsDown(a, registry.PortHTTP))
	require.False(t, d.IsDown(a, registry.PortGRPC))
	require.True(t, d.IsDown(a))
	require.Equal(t, []string{"b"}, names(usable()))
	d.SetDown(a, registry.PortGRPC, true)
	d.SetDown(a, registry.PortHTTP, false)
	require.False(t, d.IsDown(a, registry.PortHTTP))
	require.True(t, d.IsDown(a, registry.PortGRPC))
	require.Equal(t, []string{"b"}, names(usable()))
	d.SetDown(a, registry.PortGRPC, false)
	require.False(t, d.IsDown(a))
	require.Equal(t, []string{"a", "b"}, names(usable()))
}
