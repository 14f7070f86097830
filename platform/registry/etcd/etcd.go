package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	clientv3 "go.etcd.io/etcd/client/v3"

	"hongyan/platform/registry"
)

// leaveTimeout is how long Close tries to end the lease.
const leaveTimeout = 1500 * time.Millisecond

// Registry is one process's connection to etcd.
type Registry struct {
	mine    *records
	watches registry.Watches

	mu      sync.Mutex // a watch begins before closing or not at all
	closing chan struct{}
	running sync.WaitGroup
	stop    context.CancelFunc
	left    error // of taking leave; to be read after running
}

var _ registry.Registry = (*Registry)(nil)

// Open begins to connect. etcd need not be there yet. Values of ctx are kept, its end is not.
func Open(ctx context.Context, config Config) (*Registry, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &Registry{mine: newRecords(), closing: make(chan struct{}), stop: stop}
	r.running.Go(func() { r.left = r.run(ctx, config) })
	return r, nil
}

// run works until ctx ends, and then takes leave.
func (r *Registry) run(ctx context.Context, config Config) error {
	client := connect(ctx, config)
	if client == nil {
		return nil
	}
	follow := newFollower(client, config, r.mine, &r.watches)
	keep := &keeper{client: client, config: config, mine: r.mine, forgotten: follow.forgotten}
	var both sync.WaitGroup
	both.Go(func() { follow.run(ctx) })
	both.Go(func() { keep.run(ctx) })
	both.Wait()
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	err := keep.leave(leaving)
	_ = client.Close() // it says that its context is over
	return err
}

// connect makes a client, or returns nil when ctx ends before.
func connect(ctx context.Context, config Config) *clientv3.Client {
	trouble := trouble{what: "connect"}
	for n := 0; ctx.Err() == nil; n++ {
		client, err := config.connect(ctx)
		if err == nil {
			return client
		}
		trouble.note(ctx, err)
		pause(ctx, n)
	}
	return nil
}

// Put registers an instance or replaces its record.
func (r *Registry) Put(ctx context.Context, instance registry.Instance) error {
	if err := instance.Validate(); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	value, err := json.Marshal(instance)
	if err != nil {
		return fmt.Errorf("register %s: %w", instance.Key(), err)
	}
	if err := r.want(ctx, instance.Key(), value); err != nil {
		return fmt.Errorf("register %s: %w", instance.Key(), err)
	}
	return nil
}

// Remove deregisters an instance of this process.
func (r *Registry) Remove(ctx context.Context, instance registry.Instance) error {
	if err := r.want(ctx, instance.Key(), nil); err != nil {
		return fmt.Errorf("deregister %s: %w", instance.Key(), err)
	}
	return nil
}

// want says how a record should be and waits until it is.
func (r *Registry) want(ctx context.Context, key string, value []byte) error {
	if r.closed() {
		return registry.ErrClosed
	}
	r.mine.want(key, value) // whatever became of ctx: it is done later
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.mine.wait(ctx, r.closing, key)
}

func (r *Registry) closed() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}

// Watch sends the instances as soon as they are known, and whenever they change.
func (r *Registry) Watch(ctx context.Context) (<-chan []registry.Instance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed() {
		return nil, registry.ErrClosed
	}
	return r.watches.Add(ctx, r.closing, &r.running), nil
}

// Close ends the lease and with it all records of this process, ends its watches and waits for them. When etcd is
// gone it gives up after one and a half seconds.
func (r *Registry) Close() error {
	r.mu.Lock()
	if !r.closed() {
		close(r.closing)
		r.stop()
	}
	r.mu.Unlock()
	r.running.Wait()
	return r.left
}

// pause waits longer the more attempts have failed, up to a second, and never for long after ctx has ended.
func pause(ctx context.Context, attempts int) {
	longest := min(100*time.Millisecond<<min(attempts, 10), time.Second)
	select {
	case <-ctx.Done():
	case <-time.After(longest/2 + rand.N(longest/2)):
	}
}

// trouble logs when something begins to fail, and when it works again.
type trouble struct {
	what    string
	failing bool
}

func (t *trouble) note(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	switch {
	case err != nil && !t.failing:
		logx.WithContext(ctx).Errorf("registry: etcd: %s: %v", t.what, err)
	case err == nil && t.failing:
		logx.WithContext(ctx).Infof("registry: etcd: %s: it works again", t.what)
	}
	t.failing = err != nil
}
