package eventlog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Seqs returns the stored sequence numbers of streams as of a moment after the call began: the check that a cached
// state is still the newest. Concurrent callers share queries. Streams that do not exist are missing.
func (l *Log) Seqs(ctx context.Context, ids []int64) (map[int64]int64, error) {
	if len(ids) == 0 {
		return map[int64]int64{}, nil
	}
	return l.seqs.get(ctx, ids)
}

// readSeqs is the query.
func (l *Log) readSeqs(ctx context.Context, ids []int64) (map[int64]int64, error) {
	sql, arg := l.sql.seqs, any(ids)
	if len(ids) == 1 {
		sql, arg = l.sql.seq, ids[0]
	}
	rows, err := l.db.Query(ctx, sql, arg)
	if err != nil {
		return nil, fmt.Errorf("sequences of %d streams: %w", len(ids), err)
	}
	defer rows.Close()
	seqs := make(map[int64]int64, len(ids))
	for rows.Next() {
		var id, seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			return nil, fmt.Errorf("sequences of %d streams: %w", len(ids), err)
		}
		seqs[id] = seq
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sequences of %d streams: %w", len(ids), err)
	}
	return seqs, nil
}

// seqReader lets callers that come while a query is under way share the next one. A query is never
// joined after it began, since its answer could be older than the call.
type seqReader struct {
	read    func(context.Context, []int64) (map[int64]int64, error)
	timeout time.Duration

	mu   sync.Mutex
	busy bool
	next *seqQuery
}

// seqQuery is one query and those who wait for it.
type seqQuery struct {
	ids     map[int64]struct{}
	waiters int
	lead    chan struct{} // receives once, when its turn has come
	done    chan struct{}
	seqs    map[int64]int64
	err     error
}

func (r *seqReader) get(ctx context.Context, ids []int64) (map[int64]int64, error) {
	q := r.join(ids)
	select {
	case <-q.lead:
		// The query is everybody's, so that one caller's end must not end it.
		r.run(context.WithoutCancel(ctx), q)
	case <-q.done:
	case <-ctx.Done():
		r.leave(q)
		return nil, ctx.Err()
	}
	if q.err != nil {
		return nil, q.err
	}
	out := make(map[int64]int64, len(ids))
	for _, id := range ids {
		if seq, ok := q.seqs[id]; ok {
			out[id] = seq
		}
	}
	return out, nil
}

// join adds the ids to the query that has not begun.
func (r *seqReader) join(ids []int64) *seqQuery {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &seqQuery{
			ids: make(map[int64]struct{}, len(ids)), lead: make(chan struct{}, 1), done: make(chan struct{}),
		}
	}
	q := r.next
	q.waiters++
	for _, id := range ids {
		q.ids[id] = struct{}{}
	}
	if !r.busy {
		r.busy, r.next = true, nil
		q.lead <- struct{}{}
	}
	return q
}

// run asks the database and hands the lead on.
func (r *seqReader) run(ctx context.Context, q *seqQuery) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	q.seqs, q.err = r.read(ctx, slices.Collect(maps.Keys(q.ids)))
	close(q.done)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.handOn()
}

// leave is called by who waits no longer. A query that nobody waits for is not asked, and must not keep the lead.
func (r *seqReader) leave(q *seqQuery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.waiters--
	if q.waiters > 0 {
		return
	}
	if r.next == q {
		r.next = nil
		return
	}
	select {
	case <-q.lead:
		r.handOn()
	default:
	}
}

// handOn gives the lead to the next query. It is called with the lock held.
func (r *seqReader) handOn() {
	if r.next == nil {
		r.busy = false
		return
	}
	r.next.lead <- struct{}{}
	r.next = nil
}
