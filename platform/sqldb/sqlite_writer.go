package sqldb

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// liteWriter is the one goroutine that writes to a SQLite database.
type liteWriter struct {
	conn     *liteConn
	maxBatch int
	queue    chan *liteWrite
	// committed receives when something was committed since it was last received from.
	committed chan struct{}
	// stopping is closed by stop; stopped when the goroutine has ended.
	stopping, stopped chan struct{}
	// senders counts the writes that may still be put into the queue.
	mu      sync.RWMutex
	closed  bool
	closing sync.Once
	err     error
}

// liteWrite is a write that waits in the queue.
type liteWrite struct {
	ctx context.Context //nolint:containedctx // the caller's, who waits
	f   func(context.Context, Tx) error
	// outside runs instead of f, after the batch's transaction.
	outside  func(*liteConn) error
	err      error
	panicked any
	done     chan struct{}
}

func startLiteWriter(conn *liteConn, maxBatch int) *liteWriter {
	w := &liteWriter{
		conn:      conn,
		maxBatch:  maxBatch,
		queue:     make(chan *liteWrite, 4*maxBatch),
		committed: make(chan struct{}, 1),
		stopping:  make(chan struct{}),
		stopped:   make(chan struct{}),
	}
	go w.run()
	return w
}

// do queues a write and waits for its outcome, which is always known: a write whose context ends while it
// is queued is left out.
func (w *liteWriter) do(ctx context.Context, f func(context.Context, Tx) error) error {
	return w.await(&liteWrite{ctx: ctx, f: f, done: make(chan struct{})})
}

// between runs f on the writer's connection between two transactions.
func (w *liteWriter) between(f func(*liteConn) error) error {
	return w.await(&liteWrite{ctx: context.Background(), outside: f, done: make(chan struct{})})
}

func (w *liteWriter) await(req *liteWrite) error {
	if err := w.enqueue(req); err != nil {
		return err
	}
	<-req.done
	if req.panicked != nil {
		panic(req.panicked)
	}
	return req.err
}

func (w *liteWriter) enqueue(req *liteWrite) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return ErrClosed
	}
	select {
	case w.queue <- req:
		return nil
	case <-req.ctx.Done():
		return req.ctx.Err()
	}
}

// stop ends the goroutine after the writes that were queued.
func (w *liteWriter) stop() error {
	w.closing.Do(func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		close(w.stopping)
		<-w.stopped
		w.err = w.conn.close()
	})
	return w.err
}

func (w *liteWriter) run() {
	defer close(w.stopped)
	batch := make([]*liteWrite, 0, w.maxBatch)
	for {
		select {
		case req := <-w.queue:
			batch = w.fill(append(batch[:0], req))
			w.commit(batch)
			clear(batch)
		case <-w.stopping:
			select {
			case req := <-w.queue:
				batch = w.fill(append(batch[:0], req))
				w.commit(batch)
			default:
				return
			}
		}
	}
}

// fill adds what is queued already; it does not wait for more, since the disk's sync is the waiting.
func (w *liteWriter) fill(batch []*liteWrite) []*liteWrite {
	for len(batch) < w.maxBatch {
		select {
		case req := <-w.queue:
			batch = append(batch, req)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch in one transaction and answers it.
func (w *liteWriter) commit(batch []*liteWrite) {
	if err := w.transact(batch); err != nil {
		for _, req := range batch {
			if req.err == nil {
				req.err = err
			}
		}
	}
	select {
	case w.committed <- struct{}{}:
	default:
	}
	for _, req := range batch {
		if req.outside == nil {
			close(req.done)
		}
	}
	for _, req := range batch {
		if req.outside != nil {
			req.err = req.outside(w.conn)
			close(req.done)
		}
	}
}

// transact returns an error when nothing of the batch was written. A request's own error is left in it.
func (w *liteWriter) transact(batch []*liteWrite) error {
	if err := w.sql("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	var err error
	for _, req := range batch {
		if req.outside != nil {
			continue
		}
		if err = w.one(req, len(batch) > 1); err != nil {
			break
		}
	}
	if err == nil {
		if err = w.sql("COMMIT"); err == nil {
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	// After some errors (full disk) SQLite has rolled back by itself, and says so again here.
	_ = w.sql("ROLLBACK")
	return err
}

// one runs a request's function. It returns an error when the transaction must be given up.
func (w *liteWriter) one(req *liteWrite, savepoint bool) error {
	if req.err = req.ctx.Err(); req.err != nil {
		return nil //nolint:nilerr // the request fails, the transaction goes on
	}
	if savepoint {
		if err := w.sql("SAVEPOINT w"); err != nil {
			return err
		}
	}
	req.call(liteTx{w.conn})
	switch {
	case !savepoint:
		return req.err
	case req.err == nil:
		return w.sql("RELEASE w")
	default:
		return errors.Join(w.sql("ROLLBACK TO w"), w.sql("RELEASE w"))
	}
}

// call keeps a panic for the caller's goroutine: it must not end the writer.
func (req *liteWrite) call(tx Tx) {
	defer func() {
		if p := recover(); p != nil {
			req.panicked, req.err = p, errors.New("write panicked")
		}
	}()
	req.err = req.f(req.ctx, tx)
}

func (w *liteWriter) sql(sql string) error {
	_, err := w.conn.execute(context.Background(), sql, nil)
	return err
}
