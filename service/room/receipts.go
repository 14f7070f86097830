package room

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/store"
)

const (
	// receiptWindow is how long receipts gather: of one user's in one room and thread only the newest is written.
	receiptWindow = 100 * time.Millisecond
	// maxThreads is of how many threads of a room a user's receipts are kept at least, those of the newest events.
	maxThreads = 1000
	// maxReceipts bounds the receipts that gather.
	maxReceipts = 16_384
)

var errTooManyReceipts = errors.New("too many receipts are waiting")

// receipts writes public receipts, all that gather in a window at once. A receipt is acknowledged when it is on disk. The
// log keeps the receipt of the later event, also where two instances write at the same moment.
type receipts struct {
	log   *eventlog.Log
	store *store.Reader
	// timeout bounds the write of a batch: the next one waits for it.
	timeout time.Duration
	// wait ends a window: after it, or when the context ends.
	wait func(ctx context.Context, d time.Duration)

	mu      sync.Mutex
	closed  bool
	waiting *receiptBatch
	// wake tells run that a batch is waiting; it holds one.
	wake chan struct{}
}

// receiptBatch is what gathers in a window.
type receiptBatch struct {
	byKey map[store.LatestKey]*gathered
	done  chan struct{}
}

// gathered is the newest receipt of a key in a batch, and what became of it.
type gathered struct {
	stream   eventlog.Stream
	receipt  *roompb.Receipt
	position int64
	err      error
}

func newReceipts(log *eventlog.Log, reader *store.Reader, timeout time.Duration) *receipts {
	return &receipts{log: log, store: reader, timeout: timeout, wait: pauseFor, wake: make(chan struct{}, 1)}
}

func pauseFor(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// receiptKey is the key of a user's receipts of one type in one thread. Neither types nor user ids hold spaces.
func receiptKey(r *roompb.Receipt) string { return receiptsOf(r) + r.ThreadId }

// receiptsOf is what the keys of a user's receipts of one type begin with.
func receiptsOf(r *roompb.Receipt) string { return r.ReceiptType + " " + r.UserId + " " }

// set stores a receipt, unless one of a later event is stored already, and returns the position of what is stored.
func (r *receipts) set(ctx context.Context, stream eventlog.Stream, receipt *roompb.Receipt) (position int64, err error) {
	key := store.LatestKey{Stream: stream.ID, Key: receiptKey(receipt)}
	batch, err := r.gather(key, stream, receipt)
	if err != nil {
		return 0, matrix.Unavailable(err)
	}
	select {
	case <-batch.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	g := batch.byKey[key]
	if g.err != nil {
		return 0, matrix.Unavailable(g.err)
	}
	if root := "$"; strings.HasPrefix(receipt.ThreadId, root) {
		// Clients can name ever new threads.
		if err := r.log.Trim(ctx, stream.ID, receiptsOf(receipt)+root, maxThreads); err != nil {
			return 0, matrix.Unavailable(err)
		}
	}
	return g.position, nil
}

// gather adds a receipt to the batch that waits.
func (r *receipts) gather(key store.LatestKey, stream eventlog.Stream, receipt *roompb.Receipt) (*receiptBatch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errStopping
	}
	if r.waiting == nil {
		r.waiting = &receiptBatch{byKey: map[store.LatestKey]*gathered{}, done: make(chan struct{})}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	batch := r.waiting
	switch g := batch.byKey[key]; {
	case g == nil && len(batch.byKey) >= maxReceipts:
		return nil, errTooManyReceipts
	case g == nil:
		batch.byKey[key] = &gathered{stream: stream, receipt: receipt}
	case g.receipt.EventSeq < receipt.EventSeq:
		g.receipt = receipt
	}
	return batch, nil
}

// run writes batches until its context ends, and then what is left. The first receipt after a quiet time is written at
// once; then a window goes by before the next batch.
func (r *receipts) run(ctx context.Context) {
	// What was accepted is written to the end, whatever happens to ctx.
	working := context.WithoutCancel(ctx)
	for ctx.Err() == nil {
		select {
		case <-r.wake:
			r.flush(working)
			r.wait(ctx, receiptWindow)
		case <-ctx.Done():
		}
	}
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.flush(working)
}

// flush writes the batch that waits.
func (r *receipts) flush(ctx context.Context) {
	r.mu.Lock()
	batch := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	if batch == nil {
		return
	}
	defer close(batch.done)
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	if err := r.write(ctx, batch); err != nil {
		for _, g := range batch.byKey {
			g.err = err
		}
	}
}

// write appends those receipts of a batch that are newer than what is stored, one append a room.
func (r *receipts) write(ctx context.Context, batch *receiptBatch) error {
	if err := r.dropOlder(ctx, batch); err != nil {
		return err
	}
	byStream := map[int64][]*gathered{}
	for _, g := range batch.byKey {
		if g.position == 0 {
			byStream[g.stream.ID] = append(byStream[g.stream.ID], g)
		}
	}
	appends := make([]eventlog.Append, 0, len(byStream))
	order := make([][]*gathered, 0, len(byStream))
	for _, list := range byStream {
		a := eventlog.Append{Stream: list[0].stream, Expect: eventlog.AnySeq}
		for _, g := range list {
			body, err := proto.Marshal(g.receipt)
			if err != nil {
				return fmt.Errorf("encode receipt: %w", err)
			}
			a.Entries = append(a.Entries, eventlog.Entry{
				Kind: eventlog.Kind(roompb.EntryKind_ENTRY_KIND_RECEIPT), Key: receiptKey(g.receipt), Body: body,
				Rank: g.receipt.EventSeq,
			})
		}
		appends, order = append(appends, a), append(order, list)
	}
	results, errs := r.log.AppendAll(ctx, appends)
	for i, list := range order {
		for j, g := range list {
			if g.err = errs[i]; g.err == nil {
				g.position = results[i].Positions[j]
			}
		}
	}
	return nil
}

// dropOlder gives the receipts of a batch that change nothing the position of what is stored.
func (r *receipts) dropOlder(ctx context.Context, batch *receiptBatch) error {
	keys := make([]store.LatestKey, 0, len(batch.byKey))
	for key := range batch.byKey {
		keys = append(keys, key)
	}
	stored, err := r.store.Latest(ctx, keys)
	if err != nil {
		return err
	}
	for _, l := range stored {
		var old roompb.Receipt
		if err := proto.Unmarshal(l.Body, &old); err != nil {
			return fmt.Errorf("decode receipt at %d: %w", l.Position, err)
		}
		if g := batch.byKey[l.LatestKey]; g.receipt.EventSeq <= old.EventSeq {
			g.position = l.Position
		}
	}
	return nil
}

// checkReceipt refuses what no client's receipt can be.
func checkReceipt(r *roompb.Receipt) error {
	switch {
	case r == nil || r.RoomId == "" || r.UserId == "" || r.EventId == "" || r.ReceiptType == "":
		return matrix.NewError(matrix.CodeInvalidParam, "A receipt names a room, a user, an event and its type.")
	case strings.ContainsAny(r.ReceiptType, " \x00") || strings.ContainsAny(r.UserId, " \x00") || !isText(r.ThreadId):
		return matrix.NewError(matrix.CodeInvalidParam, "The receipt's type, user or thread is malformed.")
	case len(r.ThreadId) > maxThreadID:
		return matrix.NewError(matrix.CodeInvalidParam, "The receipt's thread is malformed.")
	}
	return nil
}

// maxThreadID is the size of an event id, in bytes: what a thread is named by.
const maxThreadID = 255
