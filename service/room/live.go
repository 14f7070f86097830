package room

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// liveSize is about what a room in memory takes without its state, in bytes.
const liveSize = 1024

// live is a room in memory: its queue of operations and what is known of it.
type live struct {
	id string

	mu sync.Mutex
	// queue holds the operations that wait; busy tells whether somebody is running them.
	queue []*operation
	busy  bool

	// snap is the newest state that this instance knows, nil if none.
	snap atomic.Pointer[snapshot]

	rival rivalry

	// place and bytes are the cache's, under its lock. place is nil once the room was evicted.
	place *list.Element
	bytes int64
}

// rooms are the rooms in memory, bounded in bytes; the least recently used go first. A room that is evicted while an
// operation runs is loaded again by the next one: both are then checked by their appends like those of two instances.
type rooms struct {
	max int64

	mu    sync.Mutex
	byID  map[string]*live
	order *list.List // of *live, the newest in front
	bytes int64
	// evicted counts the rooms that left memory to make place.
	evicted uint64
}

func newRooms(maxBytes int64) *rooms {
	return &rooms{max: maxBytes, byID: map[string]*live{}, order: list.New()}
}

// get returns the room, known or not, and marks it used.
func (c *rooms) get(id string) *live {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.byID[id]; r != nil {
		c.order.MoveToFront(r.place)
		return r
	}
	r := &live{id: id, bytes: liveSize}
	r.place = c.order.PushFront(r)
	c.byID[id] = r
	c.bytes += r.bytes
	c.evict()
	return r
}

// peek returns a room that is in memory; nil for others.
func (c *rooms) peek(id string) *live {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// set remembers the newest state of a room, nil for none.
func (c *rooms) set(r *live, snap *snapshot) {
	r.snap.Store(snap)
	size := int64(liveSize)
	if snap != nil {
		size = int64(snap.bytes())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.place == nil {
		return
	}
	c.bytes += size - r.bytes
	r.bytes = size
	c.evict()
}

// drop forgets a room, one that turned out not to exist.
func (c *rooms) drop(r *live) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(r)
}

// evict removes rooms until the bound holds, but never the newest. It is called with the lock held.
func (c *rooms) evict() {
	for c.bytes > c.max && c.order.Len() > 1 {
		c.remove(c.order.Back().Value.(*live))
		c.evicted++
	}
}

func (c *rooms) remove(r *live) {
	if r.place == nil {
		return
	}
	c.order.Remove(r.place)
	delete(c.byID, r.id)
	c.bytes -= r.bytes
	r.place = nil
}
