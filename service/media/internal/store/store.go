package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"hongyan/platform/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Errors of the store.
var (
	// ErrNotFound says that there is no such media.
	ErrNotFound = errors.New("no such media")
	// ErrTaken says that something was uploaded already.
	ErrTaken = errors.New("the media has content already")
	// ErrTooManyUnused says that the user has as many ids without content as a user may have.
	ErrTooManyUnused = errors.New("too many ids without content")
	// ErrFull says that the user has uploaded as much as a user may have, ErrFullToday that it is as much as fits into a day.
	ErrFull      = errors.New("the user has uploaded too much")
	ErrFullToday = errors.New("the user has uploaded too much today")
	// ErrLate says that a blob took so long that it is removed.
	ErrLate = errors.New("the blob came too late")
)

// Media is what is known of a media id.
type Media struct {
	ID, UserID string
	ExpiresMS  int64
	// UsedMS is when somebody last fetched it, as far as that is known.
	UsedMS      int64
	ContentType string
	FileName    string
	// Content is empty while nothing was uploaded.
	Content Content
}

// Content is what was uploaded, by whomever.
type Content struct {
	Key, SHA256 string
	Size        int64
}

// Store keeps the tables.
type Store struct{ db *sqldb.DB }

// New returns a store over a database that Migrate has brought up to date.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

// Migrate brings the schema up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sqldb.Migration{Name: "media", Files: files}); err != nil {
		return fmt.Errorf("migrate media: %w", err)
	}
	return nil
}

// Get returns a media.
func (s *Store) Get(ctx context.Context, id string) (Media, error) {
	m := Media{ID: id}
	err := s.db.QueryRow(ctx, `SELECT m.user_id, m.expires_ms, m.used_ms, m.content_type, m.file_name,
			m.blob_key, COALESCE(c.sha256, ''), COALESCE(c.size, 0)
		FROM media m LEFT JOIN content c ON c.blob_key = m.blob_key WHERE m.media_id = $1`, id).
		Scan(&m.UserID, &m.ExpiresMS, &m.UsedMS, &m.ContentType, &m.FileName, &m.Content.Key, &m.Content.SHA256, &m.Content.Size)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Media{}, ErrNotFound
	}
	if err != nil {
		return Media{}, fmt.Errorf("read media: %w", err)
	}
	return m, nil
}

// Reserve makes an id without content, if the user has fewer than most of them that have not expired.
func (s *Store) Reserve(ctx context.Context, m Media, most, nowMS int64) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if _, err := lockUploader(ctx, tx, m.UserID, nowMS); err != nil {
			return err
		}
		var unused int64
		err := tx.QueryRow(ctx, `SELECT count(*) FROM media
			WHERE user_id = $1 AND blob_key = '' AND (expires_ms = 0 OR expires_ms > $2)`, m.UserID, nowMS).Scan(&unused)
		if err != nil {
			return err
		}
		if unused >= most {
			return ErrTooManyUnused
		}
		return insertMedia(ctx, tx, m, nowMS)
	})
	if err != nil {
		return fmt.Errorf("reserve a media id: %w", err)
	}
	return nil
}

func insertMedia(ctx context.Context, tx sqldb.Tx, m Media, nowMS int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO media (media_id, user_id, created_ms, expires_ms, used_ms, blob_key, content_type, file_name)
		VALUES ($1, $2, $3, $4, $3, $5, $6, $7)`, m.ID, m.UserID, nowMS, m.ExpiresMS, m.Content.Key, m.ContentType, m.FileName)
	return err
}

// Expire forgets some of the ids without content that expired before a time, and tells how many.
func (s *Store) Expire(ctx context.Context, beforeMS, most int64) (int64, error) {
	n, err := s.db.Exec(ctx, `DELETE FROM media WHERE blob_key = '' AND media_id IN (SELECT media_id FROM media
		WHERE blob_key = '' AND expires_ms > 0 AND expires_ms < $1 ORDER BY expires_ms LIMIT $2)`, beforeMS, most)
	if err != nil {
		return 0, fmt.Errorf("expire media ids: %w", err)
	}
	return n, nil
}
