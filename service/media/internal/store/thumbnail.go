package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Thumbnail is a small picture of a content.
type Thumbnail struct {
	// Of is the key of the content; Width, Height and Method are what was asked for.
	Of            string
	Width, Height int64
	Method        string
	// Key is where it is.
	Key, ContentType string
	Size             int64
}

// Thumbnail finds what fits Of, Width, Height and Method; ErrNotFound where there is none.
func (s *Store) Thumbnail(ctx context.Context, t Thumbnail) (Thumbnail, error) {
	err := s.db.QueryRow(ctx, `SELECT thumbnail_key, content_type, size FROM thumbnail
		WHERE blob_key = $1 AND width = $2 AND height = $3 AND method = $4`, t.Of, t.Width, t.Height, t.Method).
		Scan(&t.Key, &t.ContentType, &t.Size)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Thumbnail{}, ErrNotFound
	}
	if err != nil {
		return Thumbnail{}, fmt.Errorf("read thumbnail: %w", err)
	}
	return t, nil
}

// AddThumbnail keeps a thumbnail that was put under Key after Begin, and returns the one that is kept: there may be one already.
// ErrNotFound says that the content is gone.
func (s *Store) AddThumbnail(ctx context.Context, t Thumbnail, nowMS int64) (Thumbnail, error) {
	kept := t
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		var size int64
		err := tx.QueryRow(ctx, `SELECT size FROM content WHERE blob_key = $1
			FOR UPDATE -- postgres`, t.Of).Scan(&size)
		if errors.Is(err, sqldb.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO thumbnail (blob_key, width, height, method, thumbnail_key, content_type, size)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
			t.Of, t.Width, t.Height, t.Method, t.Key, t.ContentType, t.Size); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `SELECT thumbnail_key, content_type, size FROM thumbnail
			WHERE blob_key = $1 AND width = $2 AND height = $3 AND method = $4`, t.Of, t.Width, t.Height, t.Method).
			Scan(&kept.Key, &kept.ContentType, &kept.Size)
		if err != nil {
			return err
		}
		return settle(ctx, tx, t.Key, kept.Key != t.Key, nowMS)
	})
	if err != nil {
		return Thumbnail{}, fmt.Errorf("keep thumbnail: %w", err)
	}
	return kept, nil
}
