// Package memory is the registry of one process, and of tests that play several processes in one.
package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"hongyan/platform/registry"
)

// Store is what the registries of several processes share. There are no heartbeats: nothing dies alone in here. A
// test ends a lease by closing a registry.
type Store struct {
	mu       sync.Mutex
	records  map[string]record // by Instance.Key
	watchers map[*watcher]struct{}
}

type record struct {
	instance registry.Instance
	owner    *Registry
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{records: map[string]record{}, watchers: map[*watcher]struct{}{}}
}

// New returns the registry of a process that is alone.
func New() *Registry { return NewStore().Open() }

// Open returns a further process's registry.
func (s *Store) Open() *Registry { return &Registry{store: s, closing: make(chan struct{})} }

// Registry is one process's registry.
type Registry struct {
	store   *Store
	once    sync.Once
	closing chan struct{}
	running sync.WaitGroup
}

var _ registry.Registry = (*Registry)(nil)

// Put registers an instance or replaces its record.
func (r *Registry) Put(ctx context.Context, instance registry.Instance) error {
	if err := instance.Validate(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("register %s: %w", instance.Key(), err)
	}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.closed() {
		return registry.ErrClosed
	}
	r.store.records[instance.Key()] = record{instance, r}
	r.store.notify(instance.Service)
	return nil
}

// Remove deregisters an instance.
func (r *Registry) Remove(ctx context.Context, instance registry.Instance) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deregister %s: %w", instance.Key(), err)
	}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.closed() {
		return registry.ErrClosed
	}
	if _, ok := r.store.records[instance.Key()]; ok {
		delete(r.store.records, instance.Key())
		r.store.notify(instance.Service)
	}
	return nil
}

func (r *Registry) closed() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}

// Watch sends the instances of a service now and whenever they change.
func (r *Registry) Watch(ctx context.Context, service string) (<-chan []registry.Instance, error) {
	w := &watcher{service: service, lists: make(chan []registry.Instance, 1)}
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.closed() {
		return nil, registry.ErrClosed
	}
	r.store.watchers[w] = struct{}{}
	w.send(r.store.list(service))
	r.running.Go(func() {
		select {
		case <-ctx.Done():
		case <-r.closing:
		}
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		delete(r.store.watchers, w)
		close(w.lists)
	})
	return w.lists, nil
}

// Close removes all records of this process, ends its watches and waits for them.
func (r *Registry) Close() error {
	r.once.Do(func() {
		r.store.mu.Lock()
		close(r.closing)
		for key, rec := range r.store.records {
			if rec.owner == r {
				delete(r.store.records, key)
				r.store.notify(rec.instance.Service)
			}
		}
		r.store.mu.Unlock()
	})
	r.running.Wait()
	return nil
}

// watcher is one Watch. Its channel holds the newest list only; the store's lock guards sending and closing.
type watcher struct {
	service string
	lists   chan []registry.Instance
}

func (w *watcher) send(list []registry.Instance) {
	select {
	case <-w.lists: // an older list that nobody has read
	default:
	}
	w.lists <- list
}

// notify sends a service's list to its watchers; the lock is held.
func (s *Store) notify(service string) {
	list := s.list(service)
	for w := range s.watchers {
		if w.service == service {
			w.send(slices.Clone(list))
		}
	}
}

// list returns a service's instances sorted by boot id; the lock is held.
func (s *Store) list(service string) []registry.Instance {
	var list []registry.Instance
	for _, rec := range s.records {
		if rec.instance.Service == service {
			list = append(list, rec.instance)
		}
	}
	slices.SortFunc(list, func(a, b registry.Instance) int { return strings.Compare(a.BootID, b.BootID) })
	return list
}
