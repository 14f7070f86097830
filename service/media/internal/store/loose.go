package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// ClaimLoose returns some keys of blobs that are due to be removed. None of them is used from now on; Forget follows.
func (s *Store) ClaimLoose(ctx context.Context, nowMS, most int64) (keys []string, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		keys = nil
		rows, err := tx.Query(ctx, `UPDATE loose_blob SET removing = true WHERE blob_key IN (
				SELECT blob_key FROM loose_blob WHERE due_ms <= $1 ORDER BY due_ms LIMIT $2
			) RETURNING blob_key`, nowMS, most)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var key string
			if err := rows.Scan(&key); err != nil {
				return err
			}
			keys = append(keys, key)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("claim loose blobs: %w", err)
	}
	return keys, nil
}

// Forget says that the blobs of these keys are removed, or, where later is not 0, that they are to be tried again then.
func (s *Store) Forget(ctx context.Context, key string, laterMS int64) error {
	sql, args := `DELETE FROM loose_blob WHERE blob_key = $1`, []any{key}
	if laterMS > 0 {
		sql, args = `UPDATE loose_blob SET due_ms = $2 WHERE blob_key = $1`, []any{key, laterMS}
	}
	if _, err := s.db.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("forget a loose blob: %w", err)
	}
	return nil
}
