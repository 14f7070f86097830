// Package lru is a cache that is bounded in bytes and drops what was not used for longest.
package lru

import (
	"container/list"
	"sync"
)

// Cache maps keys to values of which each has a weight. Its methods may be called concurrently.
type Cache[K comparable, V any] struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	weigh  func(K, V) int64
	recent *list.List // of *entry[K, V], the most recently used first
	byKey  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key    K
	value  V
	weight int64
}

// New returns a cache that holds at most limit bytes by the measure of weigh.
func New[K comparable, V any](limit int64, weigh func(K, V) int64) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, weigh: weigh, recent: list.New(), byKey: make(map[K]*list.Element)}
}

// Get returns the value of a key.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.byKey[key]
	if !ok {
		return value, false
	}
	c.recent.MoveToFront(el)
	return el.Value.(*entry[K, V]).value, true
}

// Put stores a value, unless it alone is more than the cache may hold.
func (c *Cache[K, V]) Put(key K, value V) {
	e := &entry[K, V]{key, value, c.weigh(key, value)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[key]; ok {
		c.remove(el)
	}
	if e.weight > c.limit {
		return
	}
	c.byKey[key] = c.recent.PushFront(e)
	for c.used += e.weight; c.used > c.limit; {
		c.remove(c.recent.Back())
	}
}

// Len returns how many values are held.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len()
}

func (c *Cache[K, V]) remove(el *list.Element) {
	e := c.recent.Remove(el).(*entry[K, V])
	delete(c.byKey, e.key)
	c.used -= e.weight
}
