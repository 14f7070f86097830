package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var errClosed = errors.New("log is closed")

// Append writes an append and returns when it is on disk, together with others that came meanwhile. Its errors are
// ErrConflict, *DuplicateTxnError, ErrExists (nothing was written, and the caller decides), ErrUnavailable (nothing
// was written, a repeat may succeed) and ErrUnknown.
//
// The append's slices must not be changed afterwards: the tail keeps them.
func (l *Log) Append(ctx context.Context, a Append) (Result, error) {
	p, err := l.prepare(ctx, a)
	if err != nil {
		return Result{}, err
	}
	if _, err := l.queueOf(p.Stream.Shard).add(ctx, p); err != nil {
		p.err = fmt.Errorf("append: %w: %w", ErrUnavailable, err)
		p.end()
		return Result{}, p.err
	}
	return p.wait(ctx)
}

// AppendAll writes several appends, those of one committer in one batch where that is possible. Each has its own result and error, and
// none depends on the others, but those of one stream are written in their order.
func (l *Log) AppendAll(ctx context.Context, as []Append) ([]Result, []error) {
	results, errs := make([]Result, len(as)), make([]error, len(as))
	ps := make([]*pending, len(as))
	queued := make([][]*pending, len(l.queues))
	for i, a := range as {
		if ps[i], errs[i] = l.prepare(ctx, a); errs[i] == nil {
			q := a.Stream.Shard % len(l.queues)
			queued[q] = append(queued[q], ps[i])
		}
	}
	for q, ps := range queued {
		if n, err := l.queues[q].add(ctx, ps...); err != nil {
			giveUp(ps[n:], err)
			answer(ps[n:])
		}
	}
	for i, p := range ps {
		if errs[i] == nil {
			results[i], errs[i] = p.wait(ctx)
		}
	}
	return results, errs
}

// wait returns the answer, or what is known when the context ends.
func (p *pending) wait(ctx context.Context) (Result, error) {
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
	}
	if p.abandon() {
		return Result{}, fmt.Errorf("append: %w: %w", ErrUnavailable, ctx.Err())
	}
	select {
	case <-p.done:
		return p.result, p.err
	default:
		return Result{}, fmt.Errorf("append: %w: %w", ErrUnknown, ctx.Err())
	}
}

// prepare checks an append and counts what it takes.
func (l *Log) prepare(ctx context.Context, a Append) (*pending, error) {
	if err := l.check(&a); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	if a.Stream.Name == "" {
		name, err := l.name(ctx, a.Stream.ID)
		if err != nil {
			return nil, fmt.Errorf("append: %w: %w", ErrUnavailable, err)
		}
		a.Stream.Name = name
	}
	p := &pending{Append: a, npos: int64(len(a.Entries)), done: make(chan struct{}), began: time.Now()}
	p.begin(ctx, l.schema.Name)
	for i := range a.Entries {
		e := &a.Entries[i]
		if e.Key == "" {
			p.nseq++
		}
		p.size += len(e.Body) + len(e.Doc) + len(e.Ref) + len(e.Key) + 64
	}
	for _, t := range a.Txns {
		p.size += len(t.Response) + len(t.Scope) + len(t.ID)
	}
	return p, nil
}

func (l *Log) check(a *Append) error {
	if a.Stream.ID <= 0 || a.Stream.Shard < 0 || a.Stream.Shard >= l.shards {
		return fmt.Errorf("stream %d in shard %d is none of log %s", a.Stream.ID, a.Stream.Shard, l.schema.Name)
	}
	if a.Expect < AnySeq {
		return fmt.Errorf("expected sequence %d is negative", a.Expect)
	}
	if len(a.Entries) == 0 {
		return errors.New("an append needs an entry")
	}
	for i := range a.Entries {
		e := &a.Entries[i]
		if e.Key == "" && e.Ref == "" {
			return fmt.Errorf("entry %d has neither key nor ref", i)
		}
		if e.Rank < 0 || e.Rank > 0 && e.Key == "" {
			return fmt.Errorf("entry %d has rank %d", i, e.Rank)
		}
	}
	for _, r := range a.Rows {
		if r.Table < 0 || r.Table >= len(l.schema.Tables) {
			return fmt.Errorf("log %s has no side table %d", l.schema.Name, r.Table)
		}
		if t := &l.schema.Tables[r.Table]; len(r.Values) != len(t.Columns) {
			return fmt.Errorf("row of %s has %d values and should have %d", t.Name, len(r.Values), len(t.Columns))
		}
	}
	return nil
}

// sequences calls each with the append's entries and their sequence numbers, which are 0 for entries with a key, when
// the last number is seq.
func (p *pending) sequences(seq int64, each func(i int, e *Entry, seq int64)) {
	next := seq - p.nseq
	for i := range p.Entries {
		e := &p.Entries[i]
		if e.Key != "" {
			each(i, e, 0)
			continue
		}
		next++
		each(i, e, next)
	}
}

// place sets the result of an append that was written: its stream's sequence and its last position.
func (p *pending) place(seq, last int64) {
	p.result = Result{Seq: seq, Positions: make([]int64, len(p.Entries))}
	for i := range p.Entries {
		p.result.Positions[i] = last - p.npos + int64(i) + 1
	}
	p.err = nil
}
