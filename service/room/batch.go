package room

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
)

var errStopping = errors.New("the room service is stopping")

// batchRun is one batch of operations of a room on its way to being settled.
type batchRun struct {
	s   *Service
	r   *live
	ops []*operation
	// stale is the state that turned out not to be the newest, from which the newest is read.
	stale *snapshot
	// began is when it began to run, this time.
	began time.Time
}

// run repeats the batch until all operations are settled. What has come meanwhile joins in while there is time for it.
func (b *batchRun) run(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		b.began = time.Now()
		snap, fresh, err := b.snapshot(ctx)
		if err != nil {
			b.failAll(err)
			return
		}
		if snap == nil {
			b.s.rooms.drop(b.r)
			b.failAll(errUnknownRoom().WithCause(errNoRoom))
			return
		}
		w := newWorking(b.s, snap)
		if !b.perform(ctx, w) {
			return
		}
		switch {
		case len(w.events) > 0:
			err = b.commit(ctx, w)
		case len(w.statements) > 0:
			err = b.execute(ctx, w, fresh)
		default:
			err = b.verify(ctx, snap, fresh)
		}
		switch {
		case err == nil:
			b.settleAll(ctx)
			return
		case !errors.Is(err, errAgain):
			b.failAll(err)
			return
		}
		if attempt > 0 {
			b.s.tellRival(ctx, b.r)
			if !pause(ctx, attempt) {
				b.failAll(matrix.Unavailable(fmt.Errorf("room %s: %w", b.r.id, ctx.Err())))
				return
			}
		}
		if b.hasTime(ctx) {
			b.ops = append(b.ops, b.s.takeMore(b.r, len(b.ops))...)
		}
	}
}

// hasTime tells whether there is time for further operations: they share the batch's deadline, and have a whole one to
// themselves in the next batch.
func (b *batchRun) hasTime(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > b.s.cfg.CommitTimeout/2
}

// errAgain says that the batch has to run once more.
var errAgain = errors.New("run the batch again")

// snapshot returns the state to work on; fresh tells that it was read from the database just now: while there is a
// rival, it is likely to have written.
func (b *batchRun) snapshot(ctx context.Context) (snap *snapshot, fresh bool, err error) {
	known := b.r.snap.Load()
	if known != nil && !b.r.rival.active() {
		b.s.metrics.hits.Inc()
		return known, false, nil
	}
	b.s.metrics.misses.Inc()
	if known != nil {
		b.stale = known
	}
	if snap, err = b.s.load(ctx, b.r.id, b.stale); err != nil {
		return nil, false, matrix.Unavailable(err)
	}
	if snap != nil {
		switch {
		case known == nil:
		case known.stream.Seq == snap.stream.Seq:
			b.r.rival.miss()
		default:
			b.r.rival.meet()
		}
		b.s.rooms.set(b.r, snap)
	}
	return snap, true, nil
}

// perform runs the operations that are not settled, in order. It reports whether any are left to settle.
func (b *batchRun) perform(ctx context.Context, w *working) bool {
	var firsts map[txnKey]*operation
	if len(b.ops) > 1 {
		firsts = make(map[txnKey]*operation, len(b.ops))
	}
	left := false
	for _, op := range b.ops {
		if op.settled {
			continue
		}
		if err := op.gone(); err != nil {
			op.settle(nil, err)
			continue
		}
		left = true
		key := txnKey{op.txn.Scope, op.txn.ID}
		if op.first = firsts[key]; key.id != "" && op.first != nil {
			continue
		}
		op.first = nil
		mark := *w
		op.response, op.err = op.call(ctx, w)
		if op.err != nil {
			*w = mark
		}
		op.wrote = len(w.events)+len(w.statements) > len(mark.events)+len(mark.statements)
		if op.wrote && key.id != "" {
			txn := op.txn
			txn.Response = op.response
			w.txns = append(w.txns, txn)
			if firsts != nil {
				firsts[key] = op
			}
		}
	}
	return left
}

// call runs the operation. A panic in it is its own error: the room and the other operations go on.
func (op *operation) call(ctx context.Context, w *working) (response []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			logx.WithContext(ctx).Errorf("operation on room %s panicked: %v\n%s", w.roomID, p, debug.Stack())
			response, err = nil, matrix.Internal(fmt.Errorf("panic: %v", p))
		}
	}()
	return op.run(ctx, w)
}

type txnKey struct{ scope, id string }

// verify makes sure that answers which write nothing were given from the newest state.
func (b *batchRun) verify(ctx context.Context, snap *snapshot, fresh bool) error {
	if fresh {
		return nil
	}
	ok, err := b.s.isCurrent(ctx, snap)
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !ok {
		b.outdate(snap)
		return errAgain
	}
	return nil
}

// outdate notes that the room has moved on from a state.
func (b *batchRun) outdate(snap *snapshot) {
	b.stale = snap
	b.r.rival.meet()
	b.s.rooms.set(b.r, nil)
}

// isCurrent compares a snapshot with the database.
func (s *Service) isCurrent(ctx context.Context, snap *snapshot) (bool, error) {
	seqs, err := s.log.Seqs(ctx, []int64{snap.stream.ID})
	if err != nil {
		return false, fmt.Errorf("compare room %s: %w", snap.roomID, err)
	}
	return seqs[snap.stream.ID] == snap.stream.Seq, nil
}

// commit appends what the operations have written.
func (b *batchRun) commit(ctx context.Context, w *working) error {
	a, err := w.append(ctx)
	if err != nil {
		return err
	}
	took := time.Since(b.began)
	if _, err = b.s.log.Append(ctx, a); err != nil {
		return b.unwritten(w, err)
	}
	b.s.rooms.set(b.r, w.snapshot())
	b.r.rival.won(took)
	return nil
}

// execute writes what the operations do beside the room's events, once the state that allows it is known to be the newest.
func (b *batchRun) execute(ctx context.Context, w *working, fresh bool) error {
	if err := b.verify(ctx, w.base, fresh); err != nil {
		return err
	}
	if err := b.s.store.Exec(ctx, w.statements, w.txns); err != nil {
		return b.unwritten(w, err)
	}
	return nil
}

// unwritten says what becomes of a batch of which nothing was written, or of which it is not known.
func (b *batchRun) unwritten(w *working, err error) error {
	var dup *eventlog.DuplicateTxnError
	switch {
	case errors.Is(err, eventlog.ErrConflict):
		b.outdate(w.base)
		return errAgain
	case errors.As(err, &dup):
		// Nothing was written. The repetition is answered, the others run again without it.
		for _, op := range b.ops {
			if !op.settled && op.txn.Scope == dup.Scope && op.txn.ID == dup.ID {
				op.settle(dup.Response, nil)
			}
		}
		return errAgain
	default:
		// Whatever has happened to the room, it is read again.
		b.s.rooms.set(b.r, nil)
		return matrix.Unavailable(err)
	}
}

// settleAll makes the operations' results final. A refusal with a transaction id might be a repetition of
// what was allowed then: that is answered as then.
func (b *batchRun) settleAll(ctx context.Context) {
	for _, op := range b.ops {
		if op.settled || op.first != nil {
			continue
		}
		if op.err != nil && op.txn.ID != "" {
			response, ok, err := b.s.log.Txn(ctx, op.txn.Scope, op.txn.ID)
			if err != nil {
				op.settle(nil, matrix.Unavailable(err))
				continue
			}
			if ok {
				op.settle(response, nil)
				continue
			}
		}
		op.settle(op.response, op.err)
	}
	for _, op := range b.ops {
		if !op.settled {
			op.settle(op.first.response, op.first.err)
		}
	}
}

func (b *batchRun) failAll(err error) {
	for _, op := range b.ops {
		if !op.settled {
			op.settle(nil, err)
		}
	}
}

// errNoRoom is the hidden cause where there is no such room, for the operations which may say so.
var errNoRoom = errors.New("there is no such room")

// errUnknownRoom answers an unknown room like one that the caller may not see.
func errUnknownRoom() *matrix.Error {
	return matrix.NewError(matrix.CodeForbidden, "You are not in this room, or it does not exist.")
}
