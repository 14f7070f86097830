package eventlog

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// Remove removes entries of a stream by their sequence numbers, in a transaction of the caller's that removes what belongs to
// them as well: their positions are empty from then on. The stream's newest entry always stays, so that sequence and positions go
// on as if nothing had been removed. It returns how many entries there were. Forget belongs to it. Followers are not told.
func (l *Log) Remove(ctx context.Context, tx sqldb.Tx, stream int64, seqs []int64) (int64, error) {
	if len(seqs) == 0 {
		return 0, nil
	}
	n, err := tx.Exec(ctx, l.sql.remove, stream, seqs)
	if err != nil {
		return 0, fmt.Errorf("remove %d entries of stream %d: %w", len(seqs), stream, err)
	}
	return n, nil
}

// RemoveThrough is Remove for all entries up to a sequence number, even the newest: of a stream that nobody writes to any more.
func (l *Log) RemoveThrough(ctx context.Context, tx sqldb.Tx, stream, seq int64) (int64, error) {
	n, err := tx.Exec(ctx, l.sql.removeAll, stream, seq)
	if err != nil {
		return 0, fmt.Errorf("remove the entries of stream %d through %d: %w", stream, seq, err)
	}
	return n, nil
}

// Forget takes removed entries, by their positions, out of the memory of the newest records, from which followers of this
// process read.
func (l *Log) Forget(shard int, positions []int64) { l.tail.remove(shard, positions) }

// remove leaves positions of a shard's stretch empty. The records were handed out, so that the rest moves to a slice of its own.
func (t *tail) remove(shard int, positions []int64) {
	gone := make(map[int64]struct{}, len(positions))
	for _, p := range positions {
		gone[p] = struct{}{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	st := &t.shards[shard]
	if !st.set || len(st.records) == 0 {
		return
	}
	left := make([]Record, 0, len(st.records))
	for _, r := range st.records {
		if _, removed := gone[r.Position]; removed {
			t.bytes -= r.size()
			t.count--
			continue
		}
		left = append(left, r)
	}
	if len(left) < len(st.records) {
		st.records = left
		t.tidy()
	}
}

// Retire moves a stream's sequence on, so that whoever still expects the one before is refused, and returns it. Until the
// transaction ends nobody appends to the stream. It is for a stream that is removed; its name stays taken.
func (l *Log) Retire(ctx context.Context, tx sqldb.Tx, stream int64) (seq int64, err error) {
	if _, err = tx.Exec(ctx, l.sql.increment, 1, stream); err != nil {
		return 0, fmt.Errorf("retire stream %d: %w", stream, err)
	}
	var id int64
	if err = tx.QueryRow(ctx, l.sql.seq, stream).Scan(&id, &seq); err != nil {
		return 0, fmt.Errorf("retire stream %d: %w", stream, err)
	}
	return seq, nil
}

// RemoveLatest removes latest-wins entries of a stream, at most so many of them and none with the key that is kept. It returns
// how many.
func (l *Log) RemoveLatest(ctx context.Context, tx sqldb.Tx, stream int64, kept string, most int) (int64, error) {
	n, err := tx.Exec(ctx, l.sql.removeLatest, stream, kept, most)
	if err != nil {
		return 0, fmt.Errorf("remove latest entries of stream %d: %w", stream, err)
	}
	return n, nil
}
