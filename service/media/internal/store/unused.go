package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// Touch notes that a media was fetched.
func (s *Store) Touch(ctx context.Context, id string, nowMS int64) error {
	if _, err := s.db.Exec(ctx, `UPDATE media SET used_ms = $2 WHERE media_id = $1 AND used_ms < $2`, id, nowMS); err != nil {
		return fmt.Errorf("note that a media was fetched: %w", err)
	}
	return nil
}

// MarkUnknown has some media of which is not known when they were fetched count as fetched now, and tells how many.
func (s *Store) MarkUnknown(ctx context.Context, most, nowMS int64) (int64, error) {
	n, err := s.db.Exec(ctx, `UPDATE media SET used_ms = $1 WHERE used_ms = 0 AND media_id IN
		(SELECT media_id FROM media WHERE used_ms = 0 AND blob_key <> '' AND user_id <> '' LIMIT $2)`, nowMS, most)
	if err != nil {
		return 0, fmt.Errorf("mark media: %w", err)
	}
	return n, nil
}

// Unused are some of the media of users that nobody has fetched since a time, the longest first.
func (s *Store) Unused(ctx context.Context, sinceMS, most int64) (ids []string, err error) {
	rows, err := s.db.Query(ctx, `SELECT media_id FROM media
		WHERE used_ms > 0 AND used_ms < $1 AND blob_key <> '' AND user_id <> '' ORDER BY used_ms LIMIT $2`, sinceMS, most)
	if err != nil {
		return nil, fmt.Errorf("find media that nobody fetches: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("find media that nobody fetches: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// RemoveUnused is Remove for a media that nobody has fetched since a time; ErrNotFound where somebody has.
func (s *Store) RemoveUnused(ctx context.Context, id string, sinceMS, nowMS int64) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		m, err := lockMedia(ctx, tx, id, nowMS)
		if err != nil {
			return err
		}
		// The row is locked by this: who fetches it now comes before or after.
		n, err := tx.Exec(ctx, `UPDATE media SET expires_ms = expires_ms WHERE media_id = $1 AND used_ms < $2`, id, sinceMS)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		_, _, err = removeMedia(ctx, tx, m, nowMS)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove a media that nobody fetches: %w", err)
	}
	return nil
}
