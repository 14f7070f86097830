// Package memory is the registry of one process, and of tests that play several processes in one.
package memory

import (
	"context"
	"fmt"
	"sync"

	"hongyan/platform/registry"
)

// Store is what the registries of several processes share. There are no heartbeats: nothing dies alone in here. A
// test ends a lease by closing a registry.
type Store struct {
	mu      sync.Mutex
	records map[string]record // by Instance.Key
	watches registry.Watches
}

type record struct {
	instance registry.Instance
	owner    *Registry
}

// NewStore returns an empty store.
func NewStore() *Store {
	s := &Store{records: map[string]record{}}
	s.watches.Publish(nil)
	return s
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
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.closed() {
		return registry.ErrClosed
	}
	r.store.records[instance.Key()] = record{instance, r}
	r.store.notify()
	if err := ctx.Err(); err != nil { // it is done all the same
		return fmt.Errorf("register %s: %w", instance.Key(), err)
	}
	return nil
}

// Remove deregisters an instance.
func (r *Registry) Remove(ctx context.Context, instance registry.Instance) error {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.closed() {
		return registry.ErrClosed
	}
	if _, ok := r.store.records[instance.Key()]; ok {
		delete(r.store.records, instance.Key())
		r.store.notify()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("deregister %s: %w", instance.Key(), err)
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

// Watch sends the instances now and whenever they change.
func (r *Registry) Watch(ctx context.Context) (<-chan []registry.Instance, error) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if r.closed() {
		return nil, registry.ErrClosed
	}
	return r.store.watches.Add(ctx, r.closing, &r.running), nil
}

// Close removes all records of this process, ends its watches and waits for them.
func (r *Registry) Close() error {
	r.once.Do(func() {
		r.store.mu.Lock()
		close(r.closing)
		for key, rec := range r.store.records {
			if rec.owner == r {
				delete(r.store.records, key)
				r.store.notify()
			}
		}
		r.store.mu.Unlock()
	})
	r.running.Wait()
	return nil
}

// notify tells the watches; the lock is held.
func (s *Store) notify() {
	list := make([]registry.Instance, 0, len(s.records))
	for _, rec := range s.records {
		list = append(list, rec.instance)
	}
	s.watches.Publish(list)
}
