package probe_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/probe"
	"hongyan/platform/registry"
)

// Whom calls still wait for is asked when it has left, until they do not: silence is a sign that it hangs, a refusal is
// not.
func TestLeft(t *testing.T) {
	busy := true
	var s *setup
	s = newSetup(t, func(c *probe.Config) {
		c.Busy = func(registry.Instance) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return busy
		}
	})
	a := s.put("room", "a")
	s.put("room", "b")
	s.prober.Follow("room")
	s.await(func() bool { return s.count("a") > 0 && s.count("b") > 0 })
	require.NoError(t, s.registry.Remove(t.Context(), a))
	s.await(func() bool { return len(s.dir.All("room")) == 1 })

	before := s.count("a")
	s.set(func() { s.fail["a"] = errors.New("refused") })
	s.await(func() bool { return s.count("a") > before+10 })
	s.set(func() { require.Empty(t, s.cut) })
	require.Len(t, s.prober.Asked(), 2)

	s.set(func() { s.hang["a"] = true })
	s.await(func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.cut) > 0
	})
	require.False(t, s.dir.IsDown(a), "nobody lists it")

	s.set(func() { s.hang["a"], s.fail["a"] = false, nil })
	before = s.count("a")
	require.NoError(t, s.registry.Put(t.Context(), a))
	s.await(func() bool { return len(s.dir.All("room")) == 2 && s.count("a") > before+2 })
	s.set(func() { busy = false })
	before = s.count("a")
	s.await(func() bool { return s.count("a") > before+10 }) // it is listed
	require.NoError(t, s.registry.Remove(t.Context(), a))
	s.await(func() bool { return len(s.prober.Asked()) == 1 })
	require.Equal(t, time.Duration(0), s.prober.RoundTrip(a))
}
