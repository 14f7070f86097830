package zookeeper

import (
	"context"

	"hongyan/platform/registry"
)

// Watch sends the instances now, or when they are read for the first time, and whenever they change.
func (r *Registry) Watch(ctx context.Context) (<-chan []registry.Instance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed() {
		return nil, registry.ErrClosed
	}
	return r.watches.Add(ctx, r.closing, &r.running), nil
}

// wasThere tells whether ZooKeeper was ever there.
func (r *Registry) wasThere() bool {
	_, known := r.watches.Newest()
	return known
}

// lastList returns what was published last, by key.
func (r *Registry) lastList() map[string]registry.Instance {
	newest, _ := r.watches.Newest()
	list := make(map[string]registry.Instance, len(newest))
	for _, i := range newest {
		list[i.Key()] = i
	}
	return list
}
