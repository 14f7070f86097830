package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Exec does what an append without entries would do: it runs the statements and notes the transaction ids, as a whole.
// Its errors are those of an append: eventlog.ErrConflict where a statement affects another number of rows than it
// wants, *eventlog.DuplicateTxnError where a transaction id was used before.
//
// It locks no shard and no stream, only what it writes.
func (s *Store) Exec(ctx context.Context, statements []eventlog.Statement, txns []eventlog.Txn) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		for _, t := range txns {
			if err := insertTxn(ctx, tx, t); err != nil {
				return err
			}
		}
		for _, st := range statements {
			n, err := tx.Exec(ctx, st.SQL, st.Args...)
			if err != nil {
				return err
			}
			if st.Want > 0 && n != st.Want {
				return eventlog.ErrConflict
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write without entries: %w", err)
	}
	return nil
}

func insertTxn(ctx context.Context, tx sqldb.Tx, t eventlog.Txn) error {
	n, err := tx.Exec(ctx, `INSERT INTO room_txn (scope, id, response, expires) VALUES ($1, $2, $3, $4)
		ON CONFLICT (scope, id) DO NOTHING`, t.Scope, t.ID, t.Response, t.ExpiresMs())
	if err != nil || n == 1 {
		return err
	}
	dup := &eventlog.DuplicateTxnError{Scope: t.Scope, ID: t.ID}
	err = tx.QueryRow(ctx, `SELECT response FROM room_txn WHERE scope = $1 AND id = $2`, t.Scope, t.ID).Scan(&dup.Response)
	if err != nil {
		return err
	}
	return dup
}
