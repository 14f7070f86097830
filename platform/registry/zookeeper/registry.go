package zookeeper

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"hongyan/platform/registry"
)

// Registry is one process's connection to ZooKeeper.
type Registry struct {
	config  Config
	cancel  context.CancelFunc
	closing <-chan struct{} // closed when Close begins
	running sync.WaitGroup  // the goroutine of run, and of watches
	work    chan struct{}   // holds one token when there is something to do

	watches registry.Watches

	mu      sync.Mutex
	wishes  map[string]*wish // by node name
	failure error            // what the last attempt failed with

	left error // of ending the session; to be read after running
}

var _ registry.Registry = (*Registry)(nil)

// wish is what a node should be.
type wish struct {
	data   []byte        // nil when there should be no node
	stored bool          // whether it was so in this session
	told   bool          // whether done is closed
	done   chan struct{} // closed when it was so for the first time
}

// Open begins to connect. ZooKeeper need not be there yet.
func Open(config Config) (*Registry, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Registry{
		config: config.withDefaults(), cancel: cancel, closing: ctx.Done(), work: make(chan struct{}, 1),
		wishes: map[string]*wish{},
	}
	r.running.Go(func() { r.run(ctx) })
	return r, nil
}

// nodeName is the name of a record's node.
func nodeName(i registry.Instance) string { return i.Service + ":" + i.BootID }

// Put registers an instance or replaces its record.
func (r *Registry) Put(ctx context.Context, instance registry.Instance) error {
	if err := instance.Validate(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	data, err := json.Marshal(instance)
	if err != nil {
		return fmt.Errorf("register %s: %w", instance.Key(), err)
	}
	return r.wish(ctx, "register", instance, data)
}

// Remove deregisters an instance. When ctx ends before, it is done as soon as ZooKeeper is there again.
func (r *Registry) Remove(ctx context.Context, instance registry.Instance) error {
	if !r.closed() && !canExist(instance) {
		return nil
	}
	return r.wish(ctx, "deregister", instance, nil)
}

// canExist tells whether there can be a node of this name.
func canExist(i registry.Instance) bool {
	named := registry.Instance{Service: i.Service, BootID: i.BootID, State: registry.Ready}
	return named.Validate() == nil
}

// wish says what a node should be and waits until it is.
func (r *Registry) wish(ctx context.Context, doing string, instance registry.Instance, data []byte) error {
	done, err := r.setWish(nodeName(instance), data) // whatever became of ctx: it is done later
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", doing, instance.Key(), err)
	}
	select {
	case <-done:
		return nil
	case <-r.closing:
		return registry.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%s %s: %w%s", doing, instance.Key(), ctx.Err(), r.why())
	}
}

func (r *Registry) setWish(name string, data []byte) (<-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed() {
		return nil, registry.ErrClosed
	}
	w := &wish{data: data, done: make(chan struct{})}
	if old := r.wishes[name]; old != nil && !old.told {
		w.done = old.done // who waits for what is overtaken waits for what overtook it
	}
	r.wishes[name] = w
	r.wake()
	return w.done, nil
}

// why explains a failure with what the last attempt met.
func (r *Registry) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		return ""
	}
	return fmt.Sprintf(" (zookeeper: %s)", strings.TrimPrefix(r.failure.Error(), "zk: "))
}

func (r *Registry) wake() {
	select {
	case r.work <- struct{}{}:
	default: // it will look anyway
	}
}

func (r *Registry) closed() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}

// Close ends the session, which removes all nodes of this process, and waits for what runs. When ZooKeeper is gone it gives
// up after one and a half seconds, and the nodes go with the session.
func (r *Registry) Close() error {
	r.mu.Lock()
	r.cancel() // under the lock: nobody adds a watch or a wish after it
	r.mu.Unlock()
	r.running.Wait()
	return r.left
}
