package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// FailuresUntil returns when the failures of a key will have been forgotten, 0 where there are none.
func (s *Store) FailuresUntil(ctx context.Context, key []byte) (ms int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT full_ms FROM login_failure WHERE key = $1`, key).Scan(&ms)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return 0, fmt.Errorf("read failed checks: %w", err)
	}
	return ms, nil
}

// AddFailure notes one more failure of a key, to be forgotten intervalMs after those before it, and returns when all
// will have been.
func (s *Store) AddFailure(ctx context.Context, key []byte, nowMs, intervalMs int64) (ms int64, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		return tx.QueryRow(ctx, `INSERT INTO login_failure AS f (key, full_ms) VALUES ($1, $2)
			ON CONFLICT (key) DO UPDATE
			SET full_ms = CASE WHEN f.full_ms > $3 THEN f.full_ms + $4 ELSE excluded.full_ms END
			RETURNING full_ms`, key, nowMs+intervalMs, nowMs, intervalMs).Scan(&ms)
	})
	if err != nil {
		return 0, fmt.Errorf("note a failed check: %w", err)
	}
	return ms, nil
}
