package bus

import "sync"

// A Queue is the bounded queue of one subscriber, with the goroutine that calls its handler. It is what
// implementations build subscriptions of: a publisher never waits, the oldest messages are dropped instead.
type Queue struct {
	handler Handler
	done    chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	ring    []Message // the capacity is the bound
	first   int
	count   int
	dropped uint64
	closed  bool
}

// NewQueue returns a queue of at most size messages and starts its goroutine, which ends with Close.
func NewQueue(size int, handler Handler) *Queue {
	q := &Queue{handler: handler, done: make(chan struct{}), ring: make([]Message, size)}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// Push adds a message. It never waits.
func (q *Queue) Push(m Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if q.count == len(q.ring) {
		q.first = (q.first + 1) % len(q.ring)
		q.count--
		q.dropped++
	}
	q.ring[(q.first+q.count)%len(q.ring)] = m
	q.count++
	q.changed.Signal()
}

// Dropped returns how many messages were dropped.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Close drops what is queued and waits for the handler.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	<-q.done
}

func (q *Queue) run() {
	defer close(q.done)
	for {
		m, ok := q.pop()
		if !ok {
			return
		}
		q.handler(m)
	}
}

func (q *Queue) pop() (Message, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count == 0 && !q.closed {
		q.changed.Wait()
	}
	if q.closed {
		return Message{}, false
	}
	m := q.ring[q.first]
	q.ring[q.first] = Message{}
	q.first = (q.first + 1) % len(q.ring)
	q.count--
	return m, true
}
