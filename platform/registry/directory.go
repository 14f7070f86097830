package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// avoidFor is how long an instance is avoided after a caller reported that it failed.
const avoidFor = 2 * time.Second

// DirectoryConfig says how a directory works.
type DirectoryConfig struct {
	// Shards is the number of shards that Owner divides; fixed when the deployment is created.
	Shards int
	// ShardOf gives the shard of a key (a room id, a user id), as the logs do.
	ShardOf func(key string, shards int) int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Directory is a process's copy of the registry: what is asked for each call. It goes on with what it last knew
// when the registry is gone, wiped, or says that a service has no instance at all, until it has been silent for long
// ([Directory.SetDown]). Safe for use by several goroutines.
type Directory struct {
	registry Registry
	config   DirectoryConfig

	mu       sync.RWMutex
	services map[string]*listing
	changed  chan struct{}
}

// listing is what is known of a service.
type listing struct {
	instances []Instance
	named     bool                 // the registry's newest list names it
	unnamed   time.Time            // since when it does not
	avoided   map[string]time.Time // boot id to the end of avoidance
	down      map[string]silence   // boot ids of those that do not answer
	ready     map[string]time.Time // boot ids of those that are ready, and since when that is known
	usable    []Instance           // the ready ones that are neither avoided nor down
	owners    []int                // index into usable by shard; nil when not computed
	stale     bool                 // usable must be computed again
	until     time.Time            // or when this has passed: an avoidance ends; zero for never
}

// NewDirectory returns an empty directory; Run fills it.
func NewDirectory(registry Registry, config DirectoryConfig) (*Directory, error) {
	if config.Shards <= 0 || config.ShardOf == nil {
		return nil, fmt.Errorf("new directory: %d shards, and ShardOf is needed", config.Shards)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Directory{
		registry: registry, config: config, services: map[string]*listing{}, changed: make(chan struct{}),
	}, nil
}

// Run watches until ctx ends. A watch that ends earlier is begun again.
func (d *Directory) Run(ctx context.Context) error {
	for {
		lists, err := d.registry.Watch(ctx)
		if err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("watch the registry: %v", err)
		}
		if err == nil {
			for list := range lists {
				d.update(list)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// update takes a new list over. A service that it does not name any more keeps its last instances.
func (d *Directory) update(list []Instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.services {
		l.named = false
	}
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Service == list[0].Service {
			n++
		}
		d.updateService(list[0].Service, list[:n:n])
		list = list[n:]
	}
	for _, l := range d.services {
		switch {
		case l.named:
			l.unnamed = time.Time{}
		case l.unnamed.IsZero():
			l.unnamed = d.config.Now()
		}
	}
	d.announce()
}

func (d *Directory) updateService(service string, list []Instance) {
	l := d.services[service]
	if l == nil {
		l = &listing{avoided: map[string]time.Time{}, down: map[string]silence{}, ready: map[string]time.Time{}}
		d.services[service] = l
	}
	for _, old := range l.instances { // what is elsewhere now begins anew, as what is new does
		if !slices.ContainsFunc(list, func(i Instance) bool { return sameAddress(i, old) }) {
			delete(l.avoided, old.BootID)
			delete(l.down, old.BootID)
		}
	}
	since := make(map[string]time.Time, len(list))
	for _, i := range readyOf(list) {
		known, ok := l.ready[i.BootID]
		if !ok {
			known = d.config.Now()
		}
		since[i.BootID] = known
	}
	l.instances, l.stale, l.named, l.ready = list, true, true, since
}

// ReadySince returns since when an instance is known to be ready; the zero time where it is not.
func (d *Directory) ReadySince(instance Instance) time.Time {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if l := d.services[instance.Service]; l != nil {
		return l.ready[instance.BootID]
	}
	return time.Time{}
}

func sameAddress(a, b Instance) bool {
	return a.BootID == b.BootID && a.HTTP == b.HTTP && a.GRPC == b.GRPC
}

// announce wakes who waits for a change; the lock is held.
func (d *Directory) announce() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func contains(list []Instance, bootID string) bool {
	return slices.ContainsFunc(list, func(i Instance) bool { return i.BootID == bootID })
}

// Changed returns a channel that is closed at the next change of any list. Whoever reads a list after taking the channel
// misses nothing.
func (d *Directory) Changed() <-chan struct{} {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.changed
}

// Services returns the names of all services that are known, in order.
func (d *Directory) Services() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Sorted(maps.Keys(d.services))
}

// Named tells whether the registry's newest list names a service. One that it does not name keeps its last instances.
func (d *Directory) Named(service string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	l := d.services[service]
	return l != nil && l.named
}

// Instances returns the instances of a service that take calls: ready, not avoided and not down. When there is none of
// them it returns all that are ready: one that may work is better than none. The caller must not change the result.
func (d *Directory) Instances(service string) []Instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.services[service]
	if l == nil {
		return nil
	}
	l.refresh(d.config.Now())
	return l.usable
}

// All returns all known instances of a service, whatever their state. The caller must not change the result.
func (d *Directory) All(service string) []Instance {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if l := d.services[service]; l != nil {
		return l.instances
	}
	return nil
}

// Owner returns the instance that owns a shard of a service among those that Instances returns.
func (d *Directory) Owner(service string, shard int) (Instance, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.services[service]
	if l == nil || shard < 0 || shard >= d.config.Shards {
		return Instance{}, false
	}
	l.refresh(d.config.Now())
	if len(l.usable) == 0 {
		return Instance{}, false
	}
	if l.owners == nil {
		l.owners = Assign(bootIDs(l.usable), d.config.Shards)
	}
	return l.usable[l.owners[shard]], true
}

// OwnerOf returns the instance that owns the shard of a key.
func (d *Directory) OwnerOf(service, key string) (Instance, bool) {
	return d.Owner(service, d.config.ShardOf(key, d.config.Shards))
}

// Avoid says that a call to an instance failed in a way that others would fail too (no connection): it is not returned
// for two seconds while others are there.
func (d *Directory) Avoid(instance Instance) {
	d.mark(instance, func(l *listing) bool {
		l.avoided[instance.BootID] = d.config.Now().Add(avoidFor)
		return true
	})
}

// mark changes what is known of an instance, if it is known; set tells whether that matters to others.
func (d *Directory) mark(instance Instance, set func(*listing) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.services[instance.Service]
	if l == nil || !contains(l.instances, instance.BootID) {
		return
	}
	if set(l) {
		l.stale = true
		d.announce()
	}
}

// refresh computes usable again where the list or an avoidance changed.
func (l *listing) refresh(now time.Time) {
	if !l.stale && (l.until.IsZero() || now.Before(l.until)) {
		return
	}
	ready := readyOf(l.instances)
	l.usable, l.owners, l.stale, l.until = make([]Instance, 0, len(ready)), nil, false, time.Time{}
	for _, i := range ready {
		end, avoided := l.avoided[i.BootID]
		if avoided && !now.Before(end) {
			delete(l.avoided, i.BootID)
			avoided = false
		}
		if avoided && (l.until.IsZero() || end.Before(l.until)) {
			l.until = end
		}
		if _, down := l.down[i.BootID]; !avoided && !down {
			l.usable = append(l.usable, i)
		}
	}
	if len(l.usable) == 0 {
		l.usable = ready
	}
}
