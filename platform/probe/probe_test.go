package probe_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/probe"
	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
)

func TestMain(m *testing.M) { obstest.Main(m) }

const patience = 20 * time.Second

// setup is a directory with a prober on it, and a check that a test decides.
type setup struct {
	t        *testing.T
	registry *memory.Registry
	dir      *registry.Directory
	prober   *probe.Prober

	mu    sync.Mutex
	fail  map[string]error
	hang  map[string]bool
	asked map[string]int
	cut   []string
}

func newSetup(t *testing.T, change func(*probe.Config)) *setup {
	t.Helper()
	s := &setup{t: t, registry: memory.New(), fail: map[string]error{}, hang: map[string]bool{}, asked: map[string]int{}}
	var err error
	s.dir, err = registry.NewDirectory(s.registry, registry.DirectoryConfig{
		Shards: 1, ShardOf: func(string, int) int { return 0 },
	})
	require.NoError(t, err)
	config := probe.Config{
		Directory: s.dir, Self: "me", Check: s.check, Interval: 5 * time.Millisecond, Timeout: 100 * time.Millisecond,
		Down: func(i registry.Instance) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cut = append(s.cut, i.BootID)
		},
	}
	if change != nil {
		change(&config)
	}
	s.prober, err = probe.New(config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.dir.Run(ctx) })
	running.Go(func() { _ = s.prober.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		require.NoError(t, s.registry.Close())
	})
	return s
}

func (s *setup) check(ctx context.Context, i registry.Instance) error {
	s.mu.Lock()
	s.asked[i.BootID]++
	err, hangs := s.fail[i.BootID], s.hang[i.BootID]
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (s *setup) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *setup) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[id]
}

func (s *setup) put(service, id string) registry.Instance {
	s.t.Helper()
	i := registry.Instance{Service: service, BootID: id, GRPC: "127.0.0.1:1", State: registry.Ready}
	require.NoError(s.t, s.registry.Put(s.t.Context(), i))
	return i
}

func (s *setup) await(what func() bool) {
	s.t.Helper()
	require.Eventually(s.t, what, patience, time.Millisecond)
}

func TestFindsOut(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := newSetup(t, func(c *probe.Config) { c.Registerer = reg })
	a, b := s.put("room", "a"), s.put("room", "b")
	s.put("room", "me")
	s.prober.Follow("room")
	s.await(func() bool { return !s.prober.LastSeen(a).IsZero() && !s.prober.LastSeen(b).IsZero() })
	require.Positive(t, s.prober.RoundTrip(a))
	require.False(t, s.dir.IsDown(a))

	s.set(func() { s.hang["a"], s.fail["b"] = true, errors.New("refused") })
	s.await(func() bool { return s.dir.IsDown(a) && s.dir.IsDown(b) })
	s.await(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return slices.Contains(s.cut, "a")
	})
	before := s.count("b")
	s.await(func() bool { return s.count("b") > before+10 })
	s.set(func() { require.NotContains(t, s.cut, "b", "it may drain") })
	s.set(func() { s.hang["a"], s.fail["b"] = false, nil })
	s.await(func() bool { return !s.dir.IsDown(a) && !s.dir.IsDown(b) })
	require.Zero(t, s.count("me"), "it does not ask itself")

	require.NoError(t, s.registry.Remove(t.Context(), a))
	s.await(func() bool {
		families, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if strings.Contains(m.String(), `"a"`) {
					return false
				}
			}
		}
		return len(s.prober.Asked()) == 1
	})
	require.Zero(t, s.prober.RoundTrip(a))
}

func TestFollowsWhatItIsTold(t *testing.T) {
	s := newSetup(t, nil)
	s.put("room", "a")
	s.put("media", "a")
	s.prober.Follow("media")
	s.await(func() bool { return len(s.prober.Asked()) == 1 })
	require.Equal(t, "media", s.prober.Asked()[0].Service)
	s.prober.Follow("room")
	s.prober.Follow("room")
	s.await(func() bool { return len(s.prober.Asked()) == 2 })
	s.put("room", "b")
	s.await(func() bool { return len(s.prober.Asked()) == 3 })
}

// An instance that talks anyway is not pinged.
func TestHeard(t *testing.T) {
	var mu sync.Mutex
	talks := true
	s := newSetup(t, func(c *probe.Config) {
		c.Interval = 50 * time.Millisecond
		c.Heard = func(registry.Instance) time.Time {
			mu.Lock()
			defer mu.Unlock()
			if talks {
				return time.Now()
			}
			return time.Time{}
		}
	})
	a := s.put("room", "a")
	s.prober.Follow("room")
	s.await(func() bool { return !s.prober.LastSeen(a).IsZero() })
	require.Zero(t, s.count("a"))
	mu.Lock()
	talks = false
	mu.Unlock()
	s.await(func() bool { return s.count("a") > 0 })
}

// A process that stood still itself does not take the others for dead.
func TestOwnStandstill(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	s := newSetup(t, func(c *probe.Config) {
		c.Timeout = 20 * time.Millisecond
		c.Check = func(ctx context.Context, _ registry.Instance) error {
			mu.Lock()
			asked++
			n := asked
			mu.Unlock()
			if n > 3 {
				return nil
			}
			<-time.After(100 * time.Millisecond) // as if all of this process had been stopped
			return ctx.Err()
		}
	})
	a := s.put("room", "a")
	s.prober.Follow("room")
	s.await(func() bool { return !s.prober.LastSeen(a).IsZero() })
	s.set(func() { require.Empty(t, s.cut) })
}

// An instance that cannot be asked is neither seen nor down.
func TestNoWay(t *testing.T) {
	s := newSetup(t, nil)
	s.set(func() { s.fail["a"] = probe.ErrNoWay })
	a := s.put("room", "a")
	s.prober.Follow("room")
	s.await(func() bool { return s.count("a") > 2 })
	require.True(t, s.prober.LastSeen(a).IsZero())
	require.False(t, s.dir.IsDown(a))
}

func TestNeedsItsConfig(t *testing.T) {
	_, err := probe.New(probe.Config{})
	require.Error(t, err)
}
