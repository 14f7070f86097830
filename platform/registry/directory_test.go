package registry_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func directory(t *testing.T, r registry.Registry) (*registry.Directory, *clock) {
	t.Helper()
	c := &clock{now: time.Unix(1000, 0)}
	d, err := registry.NewDirectory(r, registry.DirectoryConfig{
		Shards: shards, ShardOf: func(key string, shards int) int { return len(key) % shards }, Now: c.Now,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return d, c
}

func room(id string, state registry.State) registry.Instance {
	return registry.Instance{Service: "room", BootID: id, State: state}
}

func names(list []registry.Instance) []string {
	ids := []string{}
	for _, i := range list {
		ids = append(ids, i.BootID)
	}
	return ids
}

func eventually(t *testing.T, want []string, list func() []registry.Instance) {
	t.Helper()
	require.Eventually(t, func() bool {
		got := names(list())
		if len(got) != len(want) {
			return false
		}
		for i := range got {
			if got[i] != want[i] {
				return false
			}
		}
		return true
	}, 20*time.Second, time.Millisecond)
}

func TestDirectoryFollows(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, _ := directory(t, r)
	require.Empty(t, d.Instances("room"))
	_, ok := d.Owner("room", 0)
	require.False(t, ok)
	require.NoError(t, r.Put(t.Context(), room("a", registry.Ready)))
	require.NoError(t, r.Put(t.Context(), room("b", registry.Starting)))
	usable := func() []registry.Instance { return d.Instances("room") }
	all := func() []registry.Instance { return d.All("room") }
	eventually(t, []string{"a", "b"}, all)
	eventually(t, []string{"a"}, usable)
	require.NoError(t, r.Put(t.Context(), room("b", registry.Ready)))
	eventually(t, []string{"a", "b"}, usable)
	for s := range shards {
		got, ok := d.Owner("room", s)
		require.True(t, ok)
		require.Equal(t, owners(names(all()), shards)[s], got.BootID)
	}
	require.NoError(t, r.Put(t.Context(), room("a", registry.Draining)))
	eventually(t, []string{"b"}, usable)
	got, ok := d.Owner("room", 0)
	require.True(t, ok)
	require.Equal(t, "b", got.BootID)
	require.Nil(t, d.Instances("unknown"))
	require.Nil(t, d.All("unknown"))
	_, ok = d.Owner("room", shards)
	require.False(t, ok)
}

// An empty, wiped or lost registry leaves the list as it was.
func TestDirectoryIsNeverEmptied(t *testing.T) {
	store := memory.NewStore()
	mine, theirs := store.Open(), store.Open()
	lossy := &lossy{Registry: mine, lost: make(chan struct{})}
	d, _ := directory(t, lossy)
	usable := func() []registry.Instance { return d.Instances("room") }
	require.NoError(t, theirs.Put(t.Context(), room("a", registry.Ready)))
	eventually(t, []string{"a"}, usable)
	require.NoError(t, theirs.Remove(t.Context(), room("a", registry.Ready)))
	require.NoError(t, theirs.Put(t.Context(), room("b", registry.Ready)))
	eventually(t, []string{"b"}, usable) // the empty list in between did nothing
	require.NoError(t, theirs.Close())   // wiped
	require.Equal(t, []string{"b"}, names(usable()))
	close(lossy.lost) // the watch ends, and no other one begins
	require.NoError(t, mine.Close())
	require.Equal(t, []string{"b"}, names(usable()))
	got, ok := d.Owner("room", 7)
	require.True(t, ok)
	require.Equal(t, "b", got.BootID)
}

// lossy is a registry that is gone after a while.
type lossy struct {
	registry.Registry
	lost chan struct{}
}

func (l *lossy) Watch(ctx context.Context) (<-chan []registry.Instance, error) {
	select {
	case <-l.lost:
		return nil, errors.New("no registry")
	default:
		return l.Registry.Watch(ctx)
	}
}

func TestDirectoryAvoids(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, c := directory(t, r)
	usable := func() []registry.Instance { return d.Instances("room") }
	a, b := room("a", registry.Ready), room("b", registry.Ready)
	require.NoError(t, r.Put(t.Context(), a))
	require.NoError(t, r.Put(t.Context(), b))
	eventually(t, []string{"a", "b"}, usable)
	d.Avoid(a)
	require.Equal(t, []string{"b"}, names(usable()))
	for s := range shards {
		got, _ := d.Owner("room", s)
		require.Equal(t, "b", got.BootID)
	}
	c.advance(time.Second)
	d.Avoid(b)
	require.Equal(t, []string{"a", "b"}, names(usable()), "one that may work is better than none")
	c.advance(time.Second)
	require.Equal(t, []string{"a"}, names(usable()), "a's time is over, b's is not")
	c.advance(time.Second)
	require.Equal(t, []string{"a", "b"}, names(usable()))
	d.Avoid(room("nobody", registry.Ready))
	d.Avoid(registry.Instance{Service: "unknown", BootID: "a"})
	require.Equal(t, []string{"a", "b"}, names(usable()))
}

func TestNewDirectoryRefuses(t *testing.T) {
	_, err := registry.NewDirectory(memory.New(), registry.DirectoryConfig{})
	require.Error(t, err)
}

// An instance that answers no pings is left out until it answers again, or when nobody else is there.
func TestDirectoryLeavesOutWhatIsDown(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, c := directory(t, r)
	usable := func() []registry.Instance { return d.Instances("room") }
	a, b := room("a", registry.Ready), room("b", registry.Ready)
	require.NoError(t, r.Put(t.Context(), a))
	require.NoError(t, r.Put(t.Context(), b))
	eventually(t, []string{"a", "b"}, usable)
	changed := d.Changed()
	d.SetDown(a, registry.PortHTTP, true)
	<-changed
	require.True(t, d.IsDown(a))
	c.advance(time.Hour)
	require.Equal(t, []string{"b"}, names(usable()), "time alone changes nothing")
	got, ok := d.OwnerOf("room", "any")
	require.True(t, ok)
	require.Equal(t, "b", got.BootID)
	d.SetDown(b, registry.PortHTTP, true)
	require.Equal(t, []string{"a", "b"}, names(usable()), "one that may work is better than none")
	d.Avoid(b)
	changed = d.Changed()
	d.SetDown(b, registry.PortHTTP, false)
	<-changed
	require.Equal(t, []string{"b"}, names(usable()), "who answers is not avoided either")
	d.Avoid(b)
	d.SetDown(b, registry.PortHTTP, false)
	d.SetDown(a, registry.PortHTTP, false)
	require.Equal(t, []string{"a"}, names(usable()), "who answered all the time still is")
	d.SetDown(a, registry.PortHTTP, true)
	c.advance(time.Hour)
	require.NoError(t, r.Remove(t.Context(), a))
	eventually(t, []string{"b"}, func() []registry.Instance { return d.All("room") })
	require.NoError(t, r.Put(t.Context(), a))
	eventually(t, []string{"a", "b"}, usable) // a new record is a new beginning
	require.False(t, d.IsDown(a))
}

// Services appear as they register, those that are not part of the program too.
func TestDirectoryKnowsAllServices(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, _ := directory(t, r)
	require.NoError(t, r.Put(t.Context(), room("a", registry.Ready)))
	require.NoError(t, r.Put(t.Context(), registry.Instance{Service: "echo", BootID: "x", State: registry.Ready}))
	require.Eventually(t, func() bool { return len(d.Services()) == 2 }, 20*time.Second, time.Millisecond)
	require.Equal(t, []string{"echo", "room"}, d.Services())
	require.Equal(t, []string{"x"}, names(d.Instances("echo")))
}

// An instance that answers elsewhere now is not what failed before.
func TestDirectoryForgetsWhatAnOldAddressDid(t *testing.T) {
	r := memory.New()
	defer func() { _ = r.Close() }()
	d, _ := directory(t, r)
	a, b := room("a", registry.Ready), room("b", registry.Ready)
	for _, move := range []func(){func() { a.HTTP = "127.0.0.1:2" }, func() { a.GRPC = "127.0.0.1:3" }} {
		require.NoError(t, r.Put(t.Context(), a))
		require.NoError(t, r.Put(t.Context(), b))
		eventually(t, []string{"a", "b"}, func() []registry.Instance { return d.Instances("room") })
		d.SetDown(a, registry.PortHTTP, true)
		d.Avoid(a)
		a.Weight++
		require.NoError(t, r.Put(t.Context(), a))
		require.Eventually(t, func() bool { return d.All("room")[0].Weight == a.Weight }, 20*time.Second, time.Millisecond)
		require.True(t, d.IsDown(a), "it is where it was")
		move()
		require.NoError(t, r.Put(t.Context(), a))
		eventually(t, []string{"a", "b"}, func() []registry.Instance { return d.Instances("room") })
		require.False(t, d.IsDown(a))
	}
}
