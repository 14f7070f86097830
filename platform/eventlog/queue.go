package eventlog

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// What is known of an append that was not answered.
const (
	stateIdle      int32 = iota // certainly not written, and not being written
	stateSent                   // may have been written
	stateAbandoned              // its caller has gone while it was idle: it must not be written
)

// pending is an append that waits for its answer.
type pending struct {
	Append
	// nseq is how many sequence numbers it takes, npos how many positions.
	nseq, npos int64
	size       int
	state      atomic.Int32
	done       chan struct{}
	began      time.Time
	span       trace.Span // nil where the caller is not traced
	// The committer's, until done is closed.
	result Result
	err    error
	// outranked tells of the entries with a rank that were not stored; nil where all were.
	outranked map[int]struct{}
}

// abandon takes the append back. It fails when the append may have been written.
func (p *pending) abandon() bool { return p.state.CompareAndSwap(stateIdle, stateAbandoned) }

// send marks the append as being written. It fails when its caller has gone.
func (p *pending) send() bool {
	return p.state.CompareAndSwap(stateIdle, stateSent) || p.state.Load() == stateSent
}

// unsent marks it as certainly not written, after an attempt that failed cleanly.
func (p *pending) unsent() { p.state.Store(stateIdle) }

// queue holds the appends that wait for a batch, in the order of their arrival, in which those of one stream are
// written. Each committer has a queue, and a shard always the same one: batches that are under way at the
// same time never wait for each other's shards.
//
// With exclusive set (PostgreSQL, where a batch is one statement) a stream stands at most once in a batch, but for
// appends that may be merged.
type queue struct {
	cfg       Config
	exclusive bool

	mu      sync.Mutex
	arrived sync.Cond
	waiting []*pending
	closed  bool
	// room holds a token for each append in the queue.
	room chan struct{}
}

func newQueue(cfg Config, exclusive bool) *queue {
	q := &queue{cfg: cfg, exclusive: exclusive, room: make(chan struct{}, cfg.MaxQueue)}
	q.arrived.L = &q.mu
	return q
}

// add queues appends, together where there is room for all of them. It returns how many it has queued.
func (q *queue) add(ctx context.Context, ps ...*pending) (int, error) {
	queued := 0
	for i := range ps {
		select {
		case q.room <- struct{}{}:
			continue
		default:
		}
		// No place is held while waiting for another: two who wait for each other would wait for ever.
		if err := q.push(ps[queued:i]); err != nil {
			return queued, err
		}
		queued = i
		select {
		case q.room <- struct{}{}:
		case <-ctx.Done():
			return queued, ctx.Err()
		}
	}
	if err := q.push(ps[queued:]); err != nil {
		return queued, err
	}
	return len(ps), nil
}

// push queues appends for which places are held.
func (q *queue) push(ps []*pending) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.leave(len(ps))
		return errClosed
	}
	q.waiting = append(q.waiting, ps...)
	q.arrived.Signal()
	return nil
}

func (q *queue) leave(n int) {
	for range n {
		<-q.room
	}
}

// close refuses further appends and lets take return nil when there are none left.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.arrived.Broadcast()
}

// take waits for appends and returns the next batch; nil when the queue is closed and empty.
func (q *queue) take() []*pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		batch := q.pick()
		if len(batch) > 0 {
			q.leave(len(batch))
			return batch
		}
		if q.closed && len(q.waiting) == 0 {
			return nil
		}
		q.arrived.Wait()
	}
}

// pick chooses the batch and leaves in the queue what cannot be in it.
func (q *queue) pick() []*pending {
	b := batcher{q: q}
	kept := q.waiting[:0]
	for i, p := range q.waiting {
		if b.full {
			kept = append(kept, q.waiting[i:]...)
			break
		}
		switch {
		case p.state.Load() == stateAbandoned:
			p.end()
			close(p.done)
			q.leave(1)
		case b.add(p):
		default:
			kept = append(kept, p)
		}
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	return b.batch
}

// batcher fills one batch.
type batcher struct {
	q     *queue
	batch []*pending
	size  int
	full  bool
	// held are the streams of which no further append may be taken: the batch has one that cannot
	// be merged with, or an earlier one has to wait.
	held map[int64]struct{}
	// streams are those of the batch whose appends can be merged.
	streams map[int64]struct{}
	// txns are the batch's transaction ids: a second append with one of them must see the first one's.
	txns map[[2]string]struct{}
}

func (b *batcher) add(p *pending) bool {
	if !b.fits(p) {
		if b.q.exclusive {
			b.hold(p.Stream.ID)
		}
		return false
	}
	b.batch = append(b.batch, p)
	b.size += p.size
	b.full = len(b.batch) >= b.q.cfg.MaxBatch || b.size >= b.q.cfg.MaxBatchBytes
	if !b.q.exclusive {
		return true
	}
	if len(p.Statements) > 0 {
		b.full = b.full || p.Expect != AnySeq || len(b.batch) >= maxGuarded
	}
	if !mergeable(p) {
		b.hold(p.Stream.ID)
	} else {
		b.streams = put(b.streams, p.Stream.ID)
	}
	for _, t := range p.Txns {
		b.txns = put(b.txns, [2]string{t.Scope, t.ID})
	}
	return true
}

func (b *batcher) fits(p *pending) bool {
	if !b.q.exclusive {
		return true
	}
	id := p.Stream.ID
	if has(b.held, id) || has(b.streams, id) && !mergeable(p) {
		return false
	}
	if len(b.batch) > 0 && !together(b.batch[0], p) {
		return false
	}
	for _, t := range p.Txns {
		if has(b.txns, [2]string{t.Scope, t.ID}) {
			return false
		}
	}
	return true
}

// maxGuarded is how many appends with statements are written together: meanwhile nobody else writes to their shards.
const maxGuarded = 64

// together reports whether two appends may be written together. Appends with statements are all written or none: they keep
// to themselves, and those of them that expect a sequence, which is often another one, to nobody.
func together(a, b *pending) bool {
	guarded := len(a.Statements) > 0
	if guarded != (len(b.Statements) > 0) {
		return false
	}
	return !guarded || a.Expect == AnySeq && b.Expect == AnySeq
}

func (b *batcher) hold(stream int64) { b.held = put(b.held, stream) }

// mergeable reports whether the append can stand in a statement beside others of its stream: it depends on no
// sequence number and replaces no rows.
func mergeable(p *pending) bool {
	return p.Expect == AnySeq && len(p.Statements) == 0 && len(p.Rows) == 0
}

func put[K comparable](m map[K]struct{}, k K) map[K]struct{} {
	if m == nil {
		m = make(map[K]struct{})
	}
	m[k] = struct{}{}
	return m
}

func has[K comparable](m map[K]struct{}, k K) bool {
	_, ok := m[k]
	return ok
}
