package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"hongyan/platform/sqldb"
)

// store writes batches to one kind of database.
type store interface {
	// write writes a batch in one transaction and sets each append's result or error. It returns an error when
	// it has written nothing, or when IsConnectionLost holds for it and it may have written all.
	write(ctx context.Context, batch []*pending) error
	// settle returns when the lost attempt can no longer be written.
	settle(ctx context.Context, lost error) error
	// close gives up what the store holds, after the last write.
	close()
}

const (
	firstPause = 2 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// commitAll writes a queue's batches until it is closed and empty.
func (l *Log) commitAll(ctx context.Context, q *queue) {
	for batch := q.take(); batch != nil; batch = q.take() {
		l.commit(ctx, batch)
	}
}

// commit writes a batch, repeating it as necessary, and answers its appends.
func (l *Log) commit(ctx context.Context, batch []*pending) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.CommitTimeout)
	defer cancel()
	began := time.Now()
	ctx, span := traceBatch(ctx, batch, l.schema.Name)
	l.attempt(ctx, batch)
	l.publish(batch)
	l.metrics.committed(batch, began)
	if span != nil {
		span.End()
	}
	for _, p := range batch {
		l.metrics.appendSeconds.Observe(time.Since(p.began).Seconds())
	}
	answer(batch)
}

func answer(batch []*pending) {
	for _, p := range batch {
		p.end()
		close(p.done)
	}
}

// attempt writes appends together; when something in them is refused, each half of them after the other, so that one does
// not hold up the others. It sets the result or the error of each.
func (l *Log) attempt(ctx context.Context, batch []*pending) {
	left := batch
	for try := 0; ; try++ {
		if left = sendable(left); len(left) == 0 {
			return
		}
		err := l.write(ctx, left)
		if err == nil {
			return
		}
		if sqldb.IsConnectionLost(err) {
			l.metrics.lost.Inc()
			left = l.recover(ctx, left, err)
		} else if unsent(left); isRefusal(err) {
			if half := len(left) / 2; half > 0 {
				l.attempt(ctx, left[:half])
				l.attempt(ctx, left[half:])
				return
			}
			if !sqldb.IsRetryable(err) {
				l.refuse(ctx, left[0], err)
				return
			}
		}
		if !pause(ctx, try) {
			giveUp(left, err)
			return
		}
	}
}

// write is one attempt.
func (l *Log) write(ctx context.Context, batch []*pending) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.AttemptTimeout)
	defer cancel()
	return l.store.write(ctx, batch)
}

// recover finds out what became of appends whose connection was lost, and returns those that were certainly not written.
// When it cannot, it returns them all, still marked as sent.
func (l *Log) recover(ctx context.Context, batch []*pending, lost error) []*pending {
	for try := 0; ; try++ {
		left, err := l.unwritten(ctx, batch, lost)
		if err == nil {
			unsent(left)
			return left
		}
		if !pause(ctx, try) {
			return batch
		}
	}
}

// unwritten is one attempt of recover.
func (l *Log) unwritten(ctx context.Context, batch []*pending, lost error) (left []*pending, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.AttemptTimeout)
	defer cancel()
	if err := l.store.settle(ctx, lost); err != nil {
		return nil, err
	}
	for _, p := range batch {
		written, err := l.find(ctx, p)
		if err != nil {
			return nil, err
		}
		if !written {
			left = append(left, p)
		}
	}
	return left, nil
}

// find looks for an append's own entries and transaction ids, and sets its result when they are there: an append is written as a
// whole, and what another one has written may be the same in a part. Of the entries the first and the last stand for all. Appends
// of keyed entries alone are never found: to write them again leaves the same behind.
func (l *Log) find(ctx context.Context, p *pending) (bool, error) {
	first, last := -1, -1
	for i := range p.Entries {
		if p.Entries[i].Key == "" {
			if last = i; first < 0 {
				first = i
			}
		}
	}
	if first < 0 {
		return false, nil
	}
	at, ok, err := l.findEntry(ctx, p, first)
	if err != nil || !ok {
		return false, err
	}
	if last > first {
		if _, ok, err := l.findEntry(ctx, p, last); err != nil || !ok {
			return false, err
		}
	}
	if n, err := l.countTxns(ctx, p.Txns); err != nil || n < int64(len(p.Txns)) {
		return false, err
	}
	p.place(at.seq-1+p.nseq, at.position-int64(first)-1+p.npos)
	return true, nil
}

// place is where an entry stands in the log.
type place struct{ seq, position int64 }

// findEntry looks for the i-th entry of an append by its ref.
func (l *Log) findEntry(ctx context.Context, p *pending, i int) (at place, ok bool, err error) {
	after, through := p.Expect, p.Expect+p.nseq
	if p.Expect == AnySeq {
		after, through = p.Stream.Seq, 1<<62
	}
	err = l.db.QueryRow(ctx, l.sql.entryByRef, p.Stream.ID, after, through, p.Entries[i].Ref).Scan(&at.seq, &at.position)
	if errors.Is(err, sqldb.ErrNoRows) {
		return at, false, nil
	}
	return at, err == nil, err
}

// countTxns counts those of the transaction ids that were used.
func (l *Log) countTxns(ctx context.Context, txns []Txn) (n int64, err error) {
	if len(txns) == 0 {
		return 0, nil
	}
	scopes, ids := make([]string, len(txns)), make([]string, len(txns))
	for i, t := range txns {
		scopes[i], ids[i] = t.Scope, t.ID
	}
	err = l.db.QueryRow(ctx, l.sql.countTxns, scopes, ids).Scan(&n)
	return n, err
}

// refuse answers an append that the database refuses on its own: because it was written before, because its transaction id
// was, because a row exists, or for a reason that a repeat does not change.
func (l *Log) refuse(ctx context.Context, p *pending, cause error) {
	for try := 0; ; try++ {
		err := l.explain(ctx, p, cause)
		if err == nil {
			return
		}
		if !pause(ctx, try) {
			giveUp([]*pending{p}, err)
			return
		}
	}
}

// explain is one attempt of refuse.
func (l *Log) explain(ctx context.Context, p *pending, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.AttemptTimeout)
	defer cancel()
	written, err := l.find(ctx, p)
	if err != nil || written {
		return err
	}
	refused, err := l.refusal(ctx, p, cause)
	if err == nil {
		p.err = refused
	}
	return err
}

// refusal says why an append was refused.
func (l *Log) refusal(ctx context.Context, p *pending, cause error) (refused, err error) {
	for _, t := range p.Txns {
		response, ok, err := l.Txn(ctx, t.Scope, t.ID)
		if err != nil {
			return nil, err
		}
		if ok {
			return &DuplicateTxnError{Scope: t.Scope, ID: t.ID, Response: response}, nil
		}
	}
	switch {
	case errors.Is(cause, ErrConflict):
		return cause, nil
	case sqldb.IsUniqueViolation(cause):
		return fmt.Errorf("append: %w: %w", ErrExists, cause), nil
	default:
		return fmt.Errorf("append: %w", cause), nil
	}
}

// isRefusal reports whether the database was reached and said no, so that repeating the same batch is no use.
func isRefusal(err error) bool {
	return errors.Is(err, ErrConflict) || sqldb.IsRetryable(err) || sqldb.IsServerError(err)
}

// giveUp answers appends that time has run out for.
func giveUp(batch []*pending, err error) {
	for _, p := range batch {
		kind := ErrUnavailable
		if p.state.Load() == stateSent {
			kind = ErrUnknown
		}
		p.err = fmt.Errorf("append: %w: %w", kind, err)
	}
}

// sendable leaves out appends whose callers have gone, and marks the others as being written.
func sendable(batch []*pending) []*pending {
	out := make([]*pending, 0, len(batch))
	for _, p := range batch {
		if p.send() {
			out = append(out, p)
		} else {
			p.err = fmt.Errorf("append: %w", ErrUnavailable)
		}
	}
	return out
}

func unsent(batch []*pending) {
	for _, p := range batch {
		p.unsent()
	}
}

// pause waits a time that grows and varies. It returns false when the context ends first.
func pause(ctx context.Context, try int) bool {
	d := min(firstPause<<min(try, 10), lastPause)
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
