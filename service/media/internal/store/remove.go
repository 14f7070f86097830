package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Remove removes a media. Its content goes with the last media that has it, and thumbnails with the content.
func (s *Store) Remove(ctx context.Context, id string, nowMS int64) error {
	m, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if _, err := lockUploader(ctx, tx, m.UserID, nowMS); err != nil {
			return err
		}
		if err := releaseContent(ctx, tx, id, nowMS); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `DELETE FROM media WHERE media_id = $1`, id)
		if err == nil && n == 0 {
			return ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove media: %w", err)
	}
	return nil
}

// releaseContent takes a use away from the content of a media whose uploader is locked.
func releaseContent(ctx context.Context, tx sqldb.Tx, id string, nowMS int64) error {
	var userID, key string
	err := tx.QueryRow(ctx, `SELECT user_id, blob_key FROM media WHERE media_id = $1`, id).Scan(&userID, &key)
	if errors.Is(err, sqldb.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil || key == "" {
		return err
	}
	var uses, size int64
	err = tx.QueryRow(ctx, `UPDATE content SET uses = uses - 1 WHERE blob_key = $1 RETURNING uses, size`, key).Scan(&uses, &size)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE uploader SET bytes = bytes - $2 WHERE user_id = $1`, userID, size); err != nil || uses > 0 {
		return err
	}
	for _, sql := range []string{
		`INSERT INTO loose_blob (blob_key, due_ms, removing)
			SELECT thumbnail_key, CAST($2 AS BIGINT), false FROM thumbnail WHERE blob_key = $1`,
		`INSERT INTO loose_blob (blob_key, due_ms, removing)
			SELECT blob_key, CAST($2 AS BIGINT), false FROM content WHERE blob_key = $1`,
	} {
		if _, err := tx.Exec(ctx, sql, key, nowMS); err != nil {
			return err
		}
	}
	for _, sql := range []string{`DELETE FROM thumbnail WHERE blob_key = $1`, `DELETE FROM content WHERE blob_key = $1`} {
		if _, err := tx.Exec(ctx, sql, key); err != nil {
			return err
		}
	}
	return nil
}

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
