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
	d, err := registry.NewDirectory(r, registry.DirectoryConfig{Services: []string{"room"}, Shards: shards, Now: c.Now})
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
		want, _ := registry.Owner(all(), s, shards)
		require.Equal(t, want, got)
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

func (l *lossy) Watch(ctx context.Context, service string) (<-chan []registry.Instance, error) {
	select {
	case <-l.lost:
		return nil, errors.New("no registry")
	default:
		return l.Registry.Watch(ctx, service)
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
