package sync

import "sync"

// memory remembers a bounded number of things that never change; when it is full it forgets all.
type memory[K comparable, V any] struct {
	mu   sync.Mutex
	most int
	of   map[K]V
}

func newMemory[K comparable, V any](most int) *memory[K, V] {
	return &memory[K, V]{most: most, of: map[K]V{}}
}

func (m *memory[K, V]) get(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.of[key]
	return v, ok
}

func (m *memory[K, V]) put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.of) >= m.most {
		clear(m.of)
	}
	m.of[key] = value
}
