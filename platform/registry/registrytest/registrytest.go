package registrytest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/registry"
)

// Harness is one registry that several processes share, empty when the test begins.
type Harness struct {
	// Open returns a further process's connection; the suite closes it.
	Open func(t *testing.T) registry.Registry
	// Patience is how long a change may take to be seen; 0 is 20 s. It only ends tests that have failed.
	Patience time.Duration
	// Outage is what the registry can suffer; nil leaves those tests out.
	Outage *Outage
}

// New makes a harness for one test.
type New func(t *testing.T) Harness

// Run runs the suite.
func Run(t *testing.T, open New) {
	var outage *Outage
	t.Run("the harness opens", func(t *testing.T) { outage = open(t).Outage })
	bodies := outageTests(outage)
	if bodies == nil {
		bodies = map[string]func(*testing.T, *suite){}
	}
	maps.Copy(bodies, tests())
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			h := open(t)
			if h.Patience == 0 {
				h.Patience = 20 * time.Second
			}
			if h.Outage != nil && h.Outage.Lease == 0 {
				h.Outage.Lease = 4 * time.Second
			}
			body(t, &suite{h})
		})
	}
}

func tests() map[string]func(*testing.T, *suite) {
	return map[string]func(*testing.T, *suite){
		"a watch begins with what is there": watchBegins,
		"a watch sees changes":              watchSees,
		"services do not mix":               servicesApart,
		"records are whole":                 recordsWhole,
		"records are replaced":              recordsReplaced,
		"lists are sorted":                  listsSorted,
		"removing twice is no error":        removeTwice,
		"what is asked too late is done":    doneTooLate,
		"closing removes one's own":         closeRemoves,
		"a watch ends with its context":     watchEnds,
		"a watch ends with its registry":    watchEndsOnClose,
		"slow readers see the newest":       slowReaders,
		"many processes":                    manyProcesses,
		"bad records are refused":           badRecords,
		"closed is closed":                  closed,
	}
}

type suite struct{ Harness }

func (s *suite) process(t *testing.T) registry.Registry {
	t.Helper()
	r := s.Open(t)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func (s *suite) within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), s.Patience)
	t.Cleanup(cancel)
	return ctx
}

// watch is a watch of which the test looks at one service.
type watch struct {
	service string
	lists   <-chan []registry.Instance
}

func (s *suite) watch(t *testing.T, r registry.Registry, service string) watch {
	t.Helper()
	lists, err := r.Watch(s.within(t))
	require.NoError(t, err)
	return watch{service, lists}
}

// of returns the instances of the service that is looked at, of a list that must be in order.
func (w watch) of(t *testing.T, list []registry.Instance) []registry.Instance {
	t.Helper()
	require.True(t, slices.IsSortedFunc(list, registry.Compare), "%v", list)
	return slices.DeleteFunc(slices.Clone(list), func(i registry.Instance) bool { return i.Service != w.service })
}

// see reads lists until one has just these boot ids.
func (s *suite) see(t *testing.T, w watch, ids ...string) []registry.Instance {
	t.Helper()
	var last []string
	end := time.After(s.Patience)
	for {
		select {
		case list, ok := <-w.lists:
			require.True(t, ok, "the watch ended")
			list = w.of(t, list)
			last = bootIDs(list)
			if slices.Equal(last, ids) {
				return list
			}
		case <-end:
			require.FailNow(t, "never saw the instances", "want %v, last %v", ids, last)
		}
	}
}

func bootIDs(list []registry.Instance) []string {
	var ids []string
	for _, i := range list {
		ids = append(ids, i.BootID)
	}
	return ids
}

func instance(service, id string) registry.Instance {
	return registry.Instance{Service: service, BootID: id, State: registry.Ready}
}

func (s *suite) put(t *testing.T, r registry.Registry, i registry.Instance) {
	t.Helper()
	require.NoError(t, r.Put(s.within(t), i))
}

func watchBegins(t *testing.T, s *suite) {
	r := s.process(t)
	list := s.watch(t, r, "room")
	require.Empty(t, s.see(t, list))
	s.put(t, r, instance("room", "a"))
	s.see(t, s.watch(t, r, "room"), "a")
	s.see(t, s.watch(t, s.process(t), "room"), "a")
}

func watchSees(t *testing.T, s *suite) {
	one, two := s.process(t), s.process(t)
	lists := s.watch(t, one, "room")
	s.see(t, lists)
	s.put(t, two, instance("room", "b"))
	s.see(t, lists, "b")
	s.put(t, one, instance("room", "a"))
	s.see(t, lists, "a", "b")
	require.NoError(t, two.Remove(s.within(t), instance("room", "b")))
	s.see(t, lists, "a")
}

func servicesApart(t *testing.T, s *suite) {
	r := s.process(t)
	rooms, others := s.watch(t, r, "room"), s.watch(t, r, "roommate")
	s.put(t, r, instance("room", "a"))
	s.see(t, rooms, "a")
	s.put(t, r, instance("roommate", "a"))
	list := s.see(t, others, "a")
	require.Equal(t, "roommate", list[0].Service)
	require.NoError(t, r.Remove(s.within(t), instance("roommate", "a")))
	s.put(t, r, instance("room", "b"))
	s.see(t, rooms, "a", "b")
}

func recordsWhole(t *testing.T, s *suite) {
	want := registry.Instance{
		Service: "sync", BootID: "boot-1", HTTP: "192.0.2.1:8008", GRPC: "[2001:db8::1]:9000", Admin: "192.0.2.1:9100",
		Version: "1.2.3", Zone: "eu", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Weight: 3, State: registry.Starting,
		Routes: []registry.Route{{Method: "GET", Path: "/echo/{id}", Auth: "none", Key: "id", LongPoll: true, MaxBody: 7, Once: true, Idempotent: true}},
	}
	s.put(t, s.process(t), want)
	list := s.see(t, s.watch(t, s.process(t), "sync"), "boot-1")
	require.True(t, want.Started.Equal(list[0].Started))
	list[0].Started = want.Started
	require.Equal(t, want, list[0])
}

func recordsReplaced(t *testing.T, s *suite) {
	r := s.process(t)
	i := instance("room", "a")
	for _, state := range []registry.State{registry.Starting, registry.Ready, registry.Draining} {
		i.State = state
		s.put(t, r, i)
		list := s.see(t, s.watch(t, s.process(t), "room"), "a")
		require.Equal(t, state, list[0].State)
	}
}

func listsSorted(t *testing.T, s *suite) {
	r := s.process(t)
	for _, id := range []string{"c", "a", "b"} {
		s.put(t, r, instance("room", id))
	}
	s.see(t, s.watch(t, r, "room"), "a", "b", "c")
}

func removeTwice(t *testing.T, s *suite) {
	r := s.process(t)
	s.put(t, r, instance("room", "a"))
	require.NoError(t, r.Remove(s.within(t), instance("room", "a")))
	require.NoError(t, r.Remove(s.within(t), instance("room", "a")))
	require.Empty(t, s.see(t, s.watch(t, r, "room")))
}

func doneTooLate(t *testing.T, s *suite) {
	r := s.process(t)
	s.put(t, r, instance("room", "a"))
	s.put(t, r, instance("room", "b"))
	w := s.watch(t, s.process(t), "room")
	s.see(t, w, "a", "b")
	late, cancel := context.WithCancel(s.within(t))
	cancel()
	require.ErrorIs(t, r.Put(late, instance("room", "c")), context.Canceled)
	require.ErrorIs(t, r.Remove(late, instance("room", "a")), context.Canceled)
	require.ErrorIs(t, r.Remove(late, instance("room", "b")), context.Canceled)
	s.see(t, w, "c")
}

func closeRemoves(t *testing.T, s *suite) {
	stays, goes := s.process(t), s.Open(t)
	s.put(t, stays, instance("room", "a"))
	s.put(t, goes, instance("room", "b"))
	s.put(t, goes, instance("sync", "b"))
	lists := s.watch(t, stays, "room")
	s.see(t, lists, "a", "b")
	require.NoError(t, goes.Close())
	s.see(t, lists, "a")
	require.Empty(t, s.see(t, s.watch(t, stays, "sync")))
}

func (s *suite) ends(t *testing.T, lists <-chan []registry.Instance) {
	t.Helper()
	end := time.After(s.Patience)
	for {
		select {
		case _, ok := <-lists:
			if !ok {
				return
			}
		case <-end:
			require.FailNow(t, "the watch did not end")
		}
	}
}

func watchEnds(t *testing.T, s *suite) {
	r := s.process(t)
	ctx, cancel := context.WithCancel(s.within(t))
	lists, err := r.Watch(ctx)
	require.NoError(t, err)
	cancel()
	s.ends(t, lists)
	s.put(t, r, instance("room", "a")) // nobody listens, nobody minds
}

func watchEndsOnClose(t *testing.T, s *suite) {
	r := s.Open(t)
	w := s.watch(t, r, "room")
	require.NoError(t, r.Close())
	s.ends(t, w.lists)
}

func slowReaders(t *testing.T, s *suite) {
	r := s.process(t)
	slow, quick := s.watch(t, r, "room"), s.watch(t, r, "room")
	i := instance("room", "a")
	for n := range 100 {
		i.Weight = n + 1
		s.put(t, r, i)
	}
	for list := s.see(t, quick, "a"); list[0].Weight != 100; list = s.see(t, quick, "a") {
		require.Less(t, list[0].Weight, 100)
	}
	end := time.After(s.Patience)
	for {
		select {
		case list := <-slow.lists:
			if len(list) == 1 && list[0].Weight == 100 {
				return
			}
		case <-end:
			require.FailNow(t, "the newest list never came")
		}
	}
}

func manyProcesses(t *testing.T, s *suite) {
	var ids []string
	var group sync.WaitGroup
	for n := range 20 {
		id := string(rune('a' + n))
		ids = append(ids, id)
		r := s.process(t)
		ctx := s.within(t)
		group.Go(func() {
			_ = r.Put(ctx, instance("room", id)) // seen below
			_ = r.Put(ctx, instance("sync", id))
		})
	}
	watcher := s.process(t)
	rooms, syncs := s.watch(t, watcher, "room"), s.watch(t, watcher, "sync")
	s.see(t, rooms, ids...)
	s.see(t, syncs, ids...)
	group.Wait()
}

func badRecords(t *testing.T, s *suite) {
	r := s.process(t)
	for _, i := range []registry.Instance{
		{}, {Service: "room", State: registry.Ready}, {BootID: "a", State: registry.Ready}, {Service: "room", BootID: "a"},
		{Service: "room", BootID: "a", State: "sleeping"}, {Service: "room/..", BootID: "a", State: registry.Ready},
		{Service: "room", BootID: "a.b", State: registry.Ready}, {Service: "room", BootID: "a", State: registry.Ready, Weight: -1},
	} {
		require.Error(t, r.Put(s.within(t), i))
	}
	ctx, cancel := context.WithCancel(s.within(t))
	cancel()
	require.ErrorIs(t, r.Put(ctx, instance("room", "a")), context.Canceled)
}

func closed(t *testing.T, s *suite) {
	r := s.Open(t)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	require.ErrorIs(t, r.Put(s.within(t), instance("room", "a")), registry.ErrClosed)
	require.ErrorIs(t, r.Remove(s.within(t), instance("room", "a")), registry.ErrClosed)
	_, err := r.Watch(s.within(t))
	require.ErrorIs(t, err, registry.ErrClosed)
}
