package eventlog

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// sqliteStore writes batches with the one writer of a SQLite database, one append after the other. It is used by one
// committer.
type sqliteStore struct {
	log *Log
	// heads are the shards' heads as the batch leaves them; known says which of them are read.
	heads []int64
	known []bool
	// moved are the shards whose heads the batch changed.
	moved []int
	// seqs are the appends' sequences, lasts their last positions.
	seqs, lasts []int64
}

func newSQLiteStore(l *Log) *sqliteStore {
	return &sqliteStore{log: l, heads: make([]int64, l.shards), known: make([]bool, l.shards)}
}

// settle has nothing to wait for: the writer has ended the transaction.
func (s *sqliteStore) settle(context.Context, error) error { return nil }

func (s *sqliteStore) close() {}

func (s *sqliteStore) write(ctx context.Context, batch []*pending) error {
	err := s.transact(ctx, batch, false)
	if err != nil && len(batch) > 1 && isRefusal(err) && !sqldb.IsRetryable(err) {
		// Once more, with a savepoint for each append.
		err = s.transact(ctx, batch, true)
	}
	return err
}

// transact writes the batch. Without savepoints it fails as a whole when a row of one append is refused.
func (s *sqliteStore) transact(ctx context.Context, batch []*pending, savepoints bool) error {
	err := s.log.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		s.begin(len(batch))
		if len(batch) > s.log.shards/8 {
			if err := s.readHeads(ctx, tx); err != nil {
				return err
			}
		}
		for i, p := range batch {
			var err error
			if savepoints || len(p.Statements) > 0 {
				err = s.guarded(ctx, tx, i, p)
			} else {
				p.err, err = s.one(ctx, tx, i, p)
			}
			if err != nil {
				return err
			}
		}
		return s.writeHeads(ctx, tx)
	})
	if err != nil {
		return err
	}
	for i, p := range batch {
		if p.err == nil {
			p.place(s.seqs[i], s.lasts[i])
		}
	}
	return nil
}

func (s *sqliteStore) begin(n int) {
	clear(s.known)
	s.moved = s.moved[:0]
	s.seqs, s.lasts = make([]int64, n), make([]int64, n)
}

// guarded writes one append within a savepoint.
func (s *sqliteStore) guarded(ctx context.Context, tx sqldb.Tx, i int, p *pending) error {
	if _, err := tx.Exec(ctx, "SAVEPOINT a"); err != nil {
		return err
	}
	shard := p.Stream.Shard
	head, known := s.heads[shard], s.known[shard]
	refused, err := s.one(ctx, tx, i, p)
	if refused == nil && err == nil {
		p.err = nil
		_, err = tx.Exec(ctx, "RELEASE a")
		return err
	}
	switch {
	case err == nil:
		p.err = refused
	case sqldb.IsUniqueViolation(err):
		p.err = fmt.Errorf("append: %w: %w", ErrExists, err)
	case sqldb.IsServerError(err):
		p.err = fmt.Errorf("append: %w", err)
	default:
		return err
	}
	s.heads[shard], s.known[shard] = head, known
	for _, sql := range []string{"ROLLBACK TO a", "RELEASE a"} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// one writes one append. It returns a refusal, which leaves nothing behind but what the append's statements did, or an
// error, after which the append must be undone.
func (s *sqliteStore) one(ctx context.Context, tx sqldb.Tx, i int, p *pending) (refused, err error) {
	for _, st := range p.Statements {
		n, err := tx.Exec(ctx, st.SQL, st.Args...)
		if err != nil {
			return nil, err
		}
		if st.Want > 0 && n != st.Want {
			return fmt.Errorf("%w: %d rows changed, not %d", ErrConflict, n, st.Want), nil
		}
	}
	refused, err = s.claim(ctx, tx, i, p)
	if refused != nil || err != nil {
		return refused, err
	}
	if err := s.entries(ctx, tx, i, p); err != nil {
		return nil, err
	}
	for _, r := range p.Rows {
		if _, err := tx.Exec(ctx, s.log.sql.insertRow[r.Table], r.Values...); err != nil {
			return nil, fmt.Errorf("row of %s: %w", s.log.schema.Tables[r.Table].Name, err)
		}
	}
	return nil, nil
}

// claim takes the append's transaction ids and sequence numbers, or nothing.
func (s *sqliteStore) claim(ctx context.Context, tx sqldb.Tx, i int, p *pending) (refused, err error) {
	for n, t := range p.Txns {
		inserted, err := tx.Exec(ctx, s.log.sql.insertTxn, t.Scope, t.ID, notNil(t.Response), t.ExpiresMs())
		if err != nil {
			return nil, err
		}
		if inserted > 0 {
			continue
		}
		duplicate := &DuplicateTxnError{Scope: t.Scope, ID: t.ID}
		if err := tx.QueryRow(ctx, s.log.sql.txn, t.Scope, t.ID).Scan(&duplicate.Response); err != nil {
			return nil, err
		}
		return duplicate, s.removeTxns(ctx, tx, p.Txns[:n])
	}
	ok, err := s.advance(ctx, tx, i, p)
	if err != nil || ok {
		return nil, err
	}
	return ErrConflict, s.removeTxns(ctx, tx, p.Txns)
}

// advance moves the stream's sequence on, and reports whether it was the expected one.
func (s *sqliteStore) advance(ctx context.Context, tx sqldb.Tx, i int, p *pending) (bool, error) {
	if p.Expect != AnySeq && p.nseq > 0 {
		s.seqs[i] = p.Expect + p.nseq
		n, err := tx.Exec(ctx, s.log.sql.swap, s.seqs[i], p.Stream.ID, p.Expect)
		return n > 0, err
	}
	if p.nseq > 0 {
		if _, err := tx.Exec(ctx, s.log.sql.increment, p.nseq, p.Stream.ID); err != nil {
			return false, err
		}
	}
	var id int64
	if err := tx.QueryRow(ctx, s.log.sql.seq, p.Stream.ID).Scan(&id, &s.seqs[i]); err != nil {
		return false, fmt.Errorf("stream %d: %w", p.Stream.ID, err)
	}
	return p.Expect == AnySeq || s.seqs[i] == p.Expect, nil
}

func (s *sqliteStore) removeTxns(ctx context.Context, tx sqldb.Tx, txns []Txn) error {
	for _, t := range txns {
		if _, err := tx.Exec(ctx, s.log.sql.removeTxn, t.Scope, t.ID); err != nil {
			return err
		}
	}
	return nil
}

// entries inserts the append's entries at the head of its shard.
func (s *sqliteStore) entries(ctx context.Context, tx sqldb.Tx, i int, p *pending) error {
	shard := p.Stream.Shard
	head, err := s.head(ctx, tx, shard)
	if err != nil {
		return err
	}
	p.outranked = nil
	p.sequences(s.seqs[i], func(nth int, e *Entry, seq int64) {
		if err != nil {
			return
		}
		head++
		body := e.Body
		if body == nil {
			body = []byte{}
		}
		if e.Key != "" {
			var n int64
			n, err = tx.Exec(ctx, s.log.sql.insertLatest, p.Stream.ID, e.Key, int64(e.Kind), body, shard, head, e.Rank)
			if n == 0 {
				p.outranked = put(p.outranked, nth)
			}
		} else {
			_, err = tx.Exec(ctx, s.log.sql.insertEntry, shard, head, p.Stream.ID, seq, int64(e.Kind), e.Ref, body)
		}
	})
	if err != nil {
		return err
	}
	s.heads[shard], s.lasts[i] = head, head
	s.moved = append(s.moved, shard)
	return nil
}

func (s *sqliteStore) head(ctx context.Context, tx sqldb.Tx, shard int) (int64, error) {
	if !s.known[shard] {
		if err := tx.QueryRow(ctx, s.log.sql.head, shard).Scan(&s.heads[shard]); err != nil {
			return 0, err
		}
		s.known[shard] = true
	}
	return s.heads[shard], nil
}

// readHeads reads all heads, which for many shards is cheaper than one by one.
func (s *sqliteStore) readHeads(ctx context.Context, tx sqldb.Tx) error {
	rows, err := tx.Query(ctx, s.log.sql.allHeads)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var shard int
		var head int64
		if err := rows.Scan(&shard, &head); err != nil {
			return err
		}
		s.heads[shard], s.known[shard] = head, true
	}
	return rows.Err()
}

// writeHeads stores each head that moved, once.
func (s *sqliteStore) writeHeads(ctx context.Context, tx sqldb.Tx) error {
	for _, shard := range s.moved {
		if !s.known[shard] {
			continue
		}
		if _, err := tx.Exec(ctx, s.log.sql.setHead, s.heads[shard], shard); err != nil {
			return err
		}
		s.known[shard] = false
	}
	return nil
}
