package registrytest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/registry"
)

// Outage is what a harness can do to its registry. The suite starts again what it stopped, and mends what it cut.
type Outage struct {
	// Lease is how long a record outlives its process; 0 is 4 s. Nothing fails when it takes a bit longer.
	Lease time.Duration
	// Stop stops the registry, which keeps its data.
	Stop func(t *testing.T)
	// Start starts a stopped registry at the same address, and waits until it answers.
	Start func(t *testing.T)
	// Wipe deletes all data behind the back of the processes, as a restart with nothing does.
	Wipe func(t *testing.T)
	// Cut lets nothing pass between one process and the registry until mend; nil when the harness cannot. Proxy helps.
	Cut func(t *testing.T, r registry.Registry) (mend func())
	// Kill ends the heartbeats of one process as SIGKILL does: it deregisters nothing. The suite still closes it,
	// whatever that returns. nil when the harness cannot.
	Kill func(t *testing.T, r registry.Registry)
}

// outageTests returns the tests that a harness with this outage can run.
func outageTests(o *Outage) map[string]func(*testing.T, *suite) {
	if o == nil {
		return nil
	}
	tests := map[string]func(*testing.T, *suite){
		"outage: watches are silent":            silentWhileStopped,
		"outage: what was asked for is done":    doneAfterwards,
		"outage: processes start":               startsWhileStopped,
		"outage: closing does not wait for it":  closesWhileStopped,
		"outage: everything is there again":     backAfterRestart,
		"outage: everything returns when wiped": backAfterWipe,
	}
	if o.Cut != nil {
		tests["outage: a process is cut off"] = cutOff
	}
	if o.Kill != nil {
		tests["outage: a process is killed"] = killed
	}
	return tests
}

// stop stops the registry; it is started again when the test fails before.
func (s *suite) stop(t *testing.T) (start func()) {
	t.Helper()
	s.Outage.Stop(t)
	stopped := true
	start = func() {
		if stopped {
			stopped = false
			s.Outage.Start(t)
		}
	}
	t.Cleanup(start)
	return start
}

// silent looks at watches for longer than a lease: none ends, and none loses one of these instances.
func (s *suite) silent(t *testing.T, ids []string, watches ...watch) {
	t.Helper()
	end := time.After(s.Outage.Lease * 3 / 2)
	for over := false; !over; {
		select {
		case <-end:
			over = true
		case list, ok := <-watches[0].lists:
			watches[0].keeps(t, ids, list, ok)
		}
		for _, w := range watches[1:] {
			select {
			case list, ok := <-w.lists:
				w.keeps(t, ids, list, ok)
			default:
			}
		}
	}
}

func (w watch) keeps(t *testing.T, ids []string, list []registry.Instance, ok bool) {
	t.Helper()
	require.True(t, ok, "the watch ended")
	require.Subset(t, bootIDs(w.of(t, list)), ids, "an instance was lost")
}

// tryPut registers an instance, which cannot be done now.
func (s *suite) tryPut(t *testing.T, r registry.Registry, i registry.Instance) {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.within(t), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.Put(ctx, i), context.DeadlineExceeded)
}

func silentWhileStopped(t *testing.T, s *suite) {
	one, two := s.process(t), s.process(t)
	s.put(t, one, instance("room", "a"))
	s.put(t, two, instance("room", "b"))
	w, v := s.watch(t, one, "room"), s.watch(t, two, "room")
	s.see(t, w, "a", "b")
	s.see(t, v, "a", "b")
	start := s.stop(t)
	s.silent(t, []string{"a", "b"}, w, v)
	start()
	s.silent(t, []string{"a", "b"}, w, v)
	s.put(t, one, instance("room", "c"))
	s.see(t, w, "a", "b", "c")
	s.see(t, v, "a", "b", "c")
}

func doneAfterwards(t *testing.T, s *suite) {
	r, other := s.process(t), s.process(t)
	s.put(t, r, instance("room", "a"))
	s.put(t, r, instance("sync", "a"))
	s.put(t, other, instance("room", "x"))
	w := s.watch(t, other, "room")
	s.see(t, w, "a", "x")
	start := s.stop(t)
	b := instance("room", "b")
	b.State = registry.Starting
	s.tryPut(t, r, b)
	s.tryPut(t, r, instance("room", "b")) // the last word counts
	s.tryPut(t, r, instance("sync", "b"))
	ctx, cancel := context.WithTimeout(s.within(t), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.Remove(ctx, instance("room", "a")), context.DeadlineExceeded)
	require.ErrorIs(t, r.Remove(ctx, instance("sync", "a")), context.DeadlineExceeded, "the time was over before")
	start()
	for list := s.see(t, w, "b", "x"); list[0].State != registry.Ready; list = s.see(t, w, "b", "x") {
		require.Equal(t, registry.Starting, list[0].State)
	}
	s.see(t, s.watch(t, s.process(t), "sync"), "b")
}

func startsWhileStopped(t *testing.T, s *suite) {
	old := s.process(t)
	s.put(t, old, instance("room", "a"))
	start := s.stop(t)
	r := s.process(t)
	w := s.watch(t, r, "room")
	s.tryPut(t, r, instance("room", "b"))
	select {
	case list, ok := <-w.lists:
		require.FailNow(t, "it cannot know anything", "%v, open: %v", list, ok)
	default:
	}
	start()
	s.see(t, w, "a", "b")
	s.see(t, s.watch(t, old, "room"), "a", "b")
}

func closesWhileStopped(t *testing.T, s *suite) {
	stays, goes := s.process(t), s.Open(t)
	s.put(t, stays, instance("room", "a"))
	s.put(t, goes, instance("room", "b"))
	w, v := s.watch(t, stays, "room"), s.watch(t, goes, "room")
	s.see(t, w, "a", "b")
	start := s.stop(t)
	require.Error(t, goes.Close(), "it could not deregister")
	s.ends(t, v.lists)
	require.ErrorIs(t, goes.Put(s.within(t), instance("room", "c")), registry.ErrClosed)
	start()
	s.see(t, w, "a")
}

func backAfterRestart(t *testing.T, s *suite) {
	processes, watches, ids := s.several(t)
	start := s.stop(t)
	s.silent(t, ids, watches...)
	start()
	s.converge(t, processes, watches, ids)
}

func backAfterWipe(t *testing.T, s *suite) {
	processes, watches, ids := s.several(t)
	for range 2 {
		s.Outage.Wipe(t)
		ids = s.converge(t, processes, watches, ids)
	}
}

// several starts processes that each have two records and a watch.
func (s *suite) several(t *testing.T) (processes []registry.Registry, watches []watch, ids []string) {
	t.Helper()
	for _, id := range []string{"a", "b", "c"} {
		r := s.process(t)
		s.put(t, r, instance("room", id))
		s.put(t, r, instance("sync", id))
		processes, watches, ids = append(processes, r), append(watches, s.watch(t, r, "room")), append(ids, id)
	}
	for _, w := range watches {
		s.see(t, w, ids...)
	}
	return processes, watches, ids
}

// converge proves that everybody's records are there, that the watches go on and see all of them, and returns the boot
// ids with one that it added.
func (s *suite) converge(t *testing.T, processes []registry.Registry, watches []watch, ids []string) []string {
	t.Helper()
	fresh := s.process(t)
	s.see(t, s.watch(t, fresh, "sync"), "a", "b", "c")
	s.see(t, s.watch(t, fresh, "room"), ids...)
	added := "z" + string(rune('a'+len(ids)))
	s.put(t, processes[0], instance("room", added))
	ids = append(slices.Clone(ids), added)
	for _, w := range watches {
		s.see(t, w, ids...)
	}
	return ids
}

func cutOff(t *testing.T, s *suite) {
	lonely, other := s.process(t), s.process(t)
	s.put(t, lonely, instance("room", "a"))
	s.put(t, other, instance("room", "b"))
	mine, theirs := s.watch(t, lonely, "room"), s.watch(t, other, "room")
	s.see(t, mine, "a", "b")
	s.see(t, theirs, "a", "b")
	mend := s.Outage.Cut(t, lonely)
	t.Cleanup(mend)
	s.see(t, theirs, "b") // the lease has ended
	s.put(t, other, instance("room", "c"))
	s.tryPut(t, lonely, instance("room", "d"))
	s.silent(t, []string{"a", "b"}, mine)
	mend()
	s.see(t, theirs, "a", "b", "c", "d")
	s.see(t, mine, "a", "b", "c", "d")
}

func killed(t *testing.T, s *suite) {
	other, dies := s.process(t), s.Open(t)
	t.Cleanup(func() { _ = dies.Close() }) // of what is dead nothing is asked
	s.put(t, other, instance("room", "a"))
	s.put(t, dies, instance("room", "b"))
	w := s.watch(t, other, "room")
	s.see(t, w, "a", "b")
	s.Outage.Kill(t, dies)
	s.see(t, w, "a")
}
