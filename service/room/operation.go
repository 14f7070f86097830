package room

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
)

// opFunc does one operation to the working copy of a room and returns the answer, JSON. It may run several times, each
// time on a newer copy, and must have no other effect. When it returns an error, what it did to the copy is undone.
type opFunc func(ctx context.Context, w *working) ([]byte, error)

// operation is an opFunc in the queue of a room.
type operation struct {
	run opFunc
	// gone says why nobody waits for the operation any more, nil while somebody does.
	gone func() error
	// txn, where its ID is not empty, makes the operation happen once.
	txn eventlog.Txn

	// settled tells that response and err are final.
	settled  bool
	response []byte
	err      error
	// wrote tells that the working copy has something of the operation.
	wrote bool
	// first is the operation of the same batch and transaction id that this one waits for, if any.
	first *operation

	done chan struct{}
}

func (op *operation) settle(response []byte, err error) {
	op.settled, op.response, op.err = true, response, err
}

// operate does f to a room, once for the transaction id if there is one. An unknown room is answered as
// one that the caller is not in.
func (s *Service) operate(ctx context.Context, roomID string, txn eventlog.Txn, f opFunc) ([]byte, error) {
	if !s.gate.enter() {
		return nil, matrix.Unavailable(errStopping)
	}
	defer s.gate.leave()
	op := &operation{gone: ctx.Err, run: f, txn: txn, done: make(chan struct{})}
	r := s.rooms.get(roomID)

	r.mu.Lock()
	if len(r.queue) >= s.cfg.QueueLength {
		r.mu.Unlock()
		s.metrics.refused.Inc()
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too much is happening in this room. Try again in a moment.")
		e.RetryAfter = time.Second
		return nil, e
	}
	r.queue = append(r.queue, op)
	s.metrics.waiting.Inc()
	if r.busy {
		r.mu.Unlock()
		select {
		case <-op.done:
			return op.response, op.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	r.busy = true
	r.mu.Unlock()

	// The batch is everybody's: one caller's end must not end it.
	ctx = context.WithoutCancel(ctx)
	r.rival.wait(ctx)
	s.runBatch(ctx, r, s.takeMore(r, 0))
	s.handOver(ctx, r)
	return op.response, op.err
}

// takeMore removes the next operations from a room's queue for a batch that has some already.
func (s *Service) takeMore(r *live, has int) []*operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(s.cfg.BatchOperations-has, len(r.queue))
	more := r.queue[:n:n]
	r.queue = r.queue[n:]
	if len(r.queue) == 0 {
		r.queue = nil
	}
	s.metrics.waiting.Sub(float64(n))
	return more
}

// handOver ends the caller's turn at the room: what has gathered meanwhile is run by a goroutine of its own, so that
// nobody's answer waits for later operations.
func (s *Service) handOver(ctx context.Context, r *live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.busy = false
		return
	}
	// The callers of the queued operations may give up and leave: the goroutine is inside by itself. The caller here
	// has not left yet, so the gate cannot have been found empty.
	s.gate.inside.Add(1)
	go func() {
		defer s.gate.leave()
		s.drain(ctx, r)
	}()
}

// drain runs the queue until it is empty.
func (s *Service) drain(ctx context.Context, r *live) {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		r.rival.wait(ctx)
		s.runBatch(ctx, r, s.takeMore(r, 0))
	}
}

// runBatch settles the operations and wakes those who wait for them. A panic fails them, and the room is read again:
// it goes on, whoever runs it.
func (s *Service) runBatch(ctx context.Context, r *live, batch []*operation) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	b := batchRun{s: s, r: r, ops: batch}
	defer func() {
		if p := recover(); p != nil {
			logx.WithContext(ctx).Errorf("batch of room %s panicked: %v\n%s", r.id, p, debug.Stack())
			s.rooms.set(r, nil)
			b.failAll(matrix.Internal(fmt.Errorf("panic: %v", p)))
		}
		s.metrics.batch.Observe(float64(len(b.ops)))
		for _, op := range b.ops {
			close(op.done)
		}
	}()
	b.run(ctx)
}
