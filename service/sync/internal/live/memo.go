package live

import "sync"

// Memo keeps what readers made of the newest events of a room, so that each event is worked on once for all of them.
type Memo struct {
	mu      sync.Mutex
	entries [memoSize]memoEntry
	next    int
}

// memoSize is how many events a room's readers are at together.
const memoSize = 16

type memoEntry struct {
	event *Event
	what  int
	value any
}

// Get returns what make makes of an event, or what it made for another reader. what tells different things apart that are
// made of one event.
func (m *Memo) Get(e *Event, what int, make func() any) any {
	m.mu.Lock()
	for i := range m.entries {
		if m.entries[i].event == e && m.entries[i].what == what {
			defer m.mu.Unlock()
			return m.entries[i].value
		}
	}
	m.mu.Unlock()
	value := make()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[m.next] = memoEntry{e, what, value}
	m.next = (m.next + 1) % memoSize
	return value
}
