package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// Quota is how much a user may upload, in bytes; 0 is as much as they like.
type Quota struct{ Total, Day int64 }

// Usage is how much a user has uploaded, in bytes.
type Usage struct{ Total, Day int64 }

// DayMS is the length of a day in milliseconds.
const DayMS = 24 * 60 * 60 * 1000

// Fits refuses what would be more than a user may upload.
func (q Quota) Fits(used Usage, more int64) error {
	switch {
	case q.Total > 0 && used.Total+more > q.Total:
		return ErrFull
	case q.Day > 0 && used.Day+more > q.Day:
		return ErrFullToday
	}
	return nil
}

// Usage tells how much a user has uploaded.
func (s *Store) Usage(ctx context.Context, userID string, nowMS int64) (u Usage, err error) {
	err = s.db.QueryRow(ctx, `SELECT CAST(COALESCE(sum(bytes), 0) AS BIGINT),
			CAST(COALESCE(sum(CASE WHEN day = $2 THEN day_bytes ELSE 0 END), 0) AS BIGINT)
		FROM uploader WHERE user_id = $1`, userID, nowMS/DayMS).Scan(&u.Total, &u.Day)
	if err != nil {
		return Usage{}, fmt.Errorf("read how much was uploaded: %w", err)
	}
	return u, nil
}

// lockUploader makes all other writers of a user's media wait for the transaction.
func lockUploader(ctx context.Context, tx sqldb.Tx, userID string, nowMS int64) (u Usage, err error) {
	err = tx.QueryRow(ctx, `INSERT INTO uploader (user_id, bytes, day, day_bytes) VALUES ($1, 0, $2, 0)
		ON CONFLICT (user_id) DO UPDATE SET day = excluded.day,
			day_bytes = CASE WHEN uploader.day = excluded.day THEN uploader.day_bytes ELSE 0 END
		RETURNING bytes, day_bytes`, userID, nowMS/DayMS).Scan(&u.Total, &u.Day)
	return u, err
}

// Begin writes down that a blob is about to be put. It is removed after due, unless it is used by then.
func (s *Store) Begin(ctx context.Context, key string, dueMS int64) error {
	_, err := s.db.Exec(ctx, `INSERT INTO loose_blob (blob_key, due_ms, removing) VALUES ($1, $2, false)`, key, dueMS)
	if err != nil {
		return fmt.Errorf("begin a blob: %w", err)
	}
	return nil
}

// Finish gives a media its content, which was put under Content.Key after Begin. Where the same content is there already that is
// used, and the blob is removed later. reserved says that the id was made by Reserve: then the media must be the user's and have no
// content. It returns what is used.
func (s *Store) Finish(ctx context.Context, m Media, reserved bool, quota Quota, nowMS int64) (Content, error) {
	c := m.Content
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		used, err := lockUploader(ctx, tx, m.UserID, nowMS)
		if err != nil {
			return err
		}
		if err := quota.Fits(used, m.Content.Size); err != nil {
			return err
		}
		if c, err = useContent(ctx, tx, m.Content); err != nil {
			return err
		}
		given := m
		given.Content = c
		if err := give(ctx, tx, given, reserved, nowMS); err != nil {
			return err
		}
		if err := settle(ctx, tx, m.Content.Key, c.Key != m.Content.Key, nowMS); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE uploader SET bytes = bytes + $2, day_bytes = day_bytes + $2 WHERE user_id = $1`,
			m.UserID, m.Content.Size)
		return err
	})
	if err != nil {
		return Content{}, fmt.Errorf("finish an upload: %w", err)
	}
	return c, nil
}

// useContent counts one more use of a content, under the key that it has.
func useContent(ctx context.Context, tx sqldb.Tx, c Content) (Content, error) {
	err := tx.QueryRow(ctx, `INSERT INTO content (blob_key, sha256, size, uses) VALUES ($1, $2, $3, 1)
		ON CONFLICT (sha256) DO UPDATE SET uses = content.uses + 1 RETURNING blob_key`, c.Key, c.SHA256, c.Size).Scan(&c.Key)
	return c, err
}

func give(ctx context.Context, tx sqldb.Tx, m Media, reserved bool, nowMS int64) error {
	if !reserved {
		return insertMedia(ctx, tx, m, nowMS)
	}
	n, err := tx.Exec(ctx, `UPDATE media SET blob_key = $3, content_type = $4, file_name = $5, used_ms = $6
		WHERE media_id = $1 AND user_id = $2 AND blob_key = ''`, m.ID, m.UserID, m.Content.Key, m.ContentType, m.FileName, nowMS)
	if err == nil && n == 0 {
		return ErrTaken
	}
	return err
}

// settle says that a blob that was begun is used, or that nobody needs it.
func settle(ctx context.Context, tx sqldb.Tx, key string, unneeded bool, nowMS int64) error {
	sql, args := `DELETE FROM loose_blob WHERE blob_key = $1 AND NOT removing`, []any{key}
	if unneeded {
		sql, args = `UPDATE loose_blob SET due_ms = $2 WHERE blob_key = $1 AND NOT removing`, []any{key, nowMS}
	}
	n, err := tx.Exec(ctx, sql, args...)
	if err == nil && n == 0 {
		return ErrLate
	}
	return err
}

// Drop says that a blob that was begun is not needed.
func (s *Store) Drop(ctx context.Context, key string, nowMS int64) error {
	_, err := s.db.Exec(ctx, `UPDATE loose_blob SET due_ms = $2 WHERE blob_key = $1`, key, nowMS)
	if err != nil {
		return fmt.Errorf("drop a blob: %w", err)
	}
	return nil
}
