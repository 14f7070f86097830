package registry

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/sync/errgroup"
)

// avoidFor is how long an instance is avoided after a caller reported that it failed.
const avoidFor = 2 * time.Second

// DirectoryConfig says what a directory watches.
type DirectoryConfig struct {
	// Services are the services that are watched.
	Services []string
	// Shards is the number of shards that Owner divides; fixed when the deployment is created.
	Shards int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Directory is a process's copy of the registry: what is asked for each call. It goes on with what it last knew
// when the registry is gone, wiped, or says that a service has no instance at all. Safe for use by several
// goroutines.
type Directory struct {
	registry Registry
	config   DirectoryConfig

	mu       sync.RWMutex
	services map[string]*listing
}

// listing is what is known of a service.
type listing struct {
	instances []Instance
	avoided   map[string]time.Time // boot id to the end of avoidance
	usable    []Instance           // the ready ones that are not avoided
	owners    []int                // index into usable by shard; nil when not computed
	stale     bool                 // usable must be computed again
	until     time.Time            // or when this has passed: an avoidance ends; zero for never
}

// NewDirectory returns an empty directory; Run fills it.
func NewDirectory(registry Registry, config DirectoryConfig) (*Directory, error) {
	if config.Shards <= 0 {
		return nil, fmt.Errorf("new directory: %d shards", config.Shards)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	d := &Directory{registry: registry, config: config, services: map[string]*listing{}}
	for _, s := range config.Services {
		d.services[s] = &listing{avoided: map[string]time.Time{}, stale: true}
	}
	return d, nil
}

// Run watches until ctx ends. A watch that ends earlier is begun again.
func (d *Directory) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, service := range d.config.Services {
		group.Go(func() error { return d.follow(ctx, service) })
	}
	return group.Wait()
}

func (d *Directory) follow(ctx context.Context, service string) error {
	for {
		lists, err := d.registry.Watch(ctx, service)
		if err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("watch instances of %s: %v", service, err)
		}
		if err == nil {
			for list := range lists {
				d.update(service, list)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

// update takes a new list over, unless it is empty.
func (d *Directory) update(service string, list []Instance) {
	if len(list) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.services[service]
	l.instances, l.stale = list, true
	for id := range l.avoided {
		if !contains(list, id) {
			delete(l.avoided, id)
		}
	}
}

func contains(list []Instance, bootID string) bool {
	for i := range list {
		if list[i].BootID == bootID {
			return true
		}
	}
	return false
}

// Instances returns the instances of a service that take calls: ready and not avoided. When all ready ones are
// avoided it returns these: one that may work is better than none. The caller must not change the result.
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

// Avoid says that a call to an instance failed in a way that others would fail too (no connection, no answer to a
// ping): it is not returned for two seconds while others are there.
func (d *Directory) Avoid(instance Instance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.services[instance.Service]
	if l == nil || !contains(l.instances, instance.BootID) {
		return
	}
	l.avoided[instance.BootID] = d.config.Now().Add(avoidFor)
	l.stale = true
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
		if !avoided {
			l.usable = append(l.usable, i)
			continue
		}
		if !now.Before(end) {
			delete(l.avoided, i.BootID)
			l.usable = append(l.usable, i)
			continue
		}
		if l.until.IsZero() || end.Before(l.until) {
			l.until = end
		}
	}
	if len(l.usable) == 0 {
		l.usable = ready
	}
}
