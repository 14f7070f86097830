package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Removed is what became of a media that was removed.
type Removed struct {
	UserID string
	Size   int64
	// Key is of the blob that was its content, "" for none.
	Key string
	// Keys are of the blobs that nobody uses any more: its content, and thumbnails of it. They are due to be removed.
	Keys []string
	// Copies are ids of other media with the same content, some of them; while there are any the content stays.
	Copies []string
}

// maxCopies is how many of the media with the same content are told.
const maxCopies = 100

// Remove forgets a media, gives its user back what it counted for, and has its content removed if nobody else has the same. A preview
// that shows it goes too. ErrNotFound says that there is none.
func (s *Store) Remove(ctx context.Context, id string, nowMS int64) (r Removed, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		r = Removed{}
		m, err := lockMedia(ctx, tx, id, nowMS)
		if err != nil {
			return err
		}
		r.UserID, r.Key = m.UserID, m.Content.Key
		if _, err := tx.Exec(ctx, `DELETE FROM preview WHERE media_id = $1`, id); err != nil {
			return err
		}
		if r.Size, r.Keys, err = removeMedia(ctx, tx, m, nowMS); err != nil {
			return err
		}
		r.Copies, err = texts(ctx, tx, selectCopies, r.Key, maxCopies)
		return err
	})
	if err != nil {
		return Removed{}, fmt.Errorf("remove a media: %w", err)
	}
	return r, nil
}

const selectCopies = `SELECT media_id FROM media WHERE blob_key = $1 AND blob_key <> '' ORDER BY media_id LIMIT $2`

// Copies are ids of media with this content, some of them.
func (s *Store) Copies(ctx context.Context, key string) ([]string, error) {
	ids, err := texts(ctx, s.db, selectCopies, key, maxCopies)
	if err != nil {
		return nil, fmt.Errorf("find media with the same content: %w", err)
	}
	return ids, nil
}

// lockMedia locks a media and, before it, its user.
func lockMedia(ctx context.Context, tx sqldb.Tx, id string, nowMS int64) (Media, error) {
	m := Media{ID: id}
	read := func() error {
		err := tx.QueryRow(ctx, `SELECT user_id, blob_key FROM media WHERE media_id = $1`, id).Scan(&m.UserID, &m.Content.Key)
		if errors.Is(err, sqldb.ErrNoRows) {
			return ErrNotFound
		}
		return err
	}
	if err := read(); err != nil || m.UserID == "" {
		return m, err
	}
	if _, err := lockUploader(ctx, tx, m.UserID, nowMS); err != nil {
		return Media{}, err
	}
	return m, read() // an upload may have come before
}

// removeMedia removes a media whose user, if any, is locked. It returns how large it was and the blobs that nobody uses any more.
func removeMedia(ctx context.Context, tx sqldb.Tx, m Media, nowMS int64) (size int64, keys []string, err error) {
	// First, so that of two who remove it one counts.
	err = tx.QueryRow(ctx, `DELETE FROM media WHERE media_id = $1 RETURNING blob_key`, m.ID).Scan(&m.Content.Key)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, nil, ErrNotFound
	}
	if err != nil || m.Content.Key == "" {
		return 0, nil, err
	}
	if size, keys, err = unuseContent(ctx, tx, m.Content.Key, nowMS); err != nil || m.UserID == "" {
		return size, keys, err
	}
	_, err = tx.Exec(ctx, `UPDATE uploader SET bytes = CASE WHEN bytes > $2 THEN bytes - $2 ELSE 0 END WHERE user_id = $1`, m.UserID, size)
	return size, keys, err
}

// unuseContent counts one use less of a content. Where none is left it is forgotten with its thumbnails, and their blobs are due to
// be removed. An upload of the same content waits meanwhile: it finds a use that is left, or none and brings its own blob.
func unuseContent(ctx context.Context, tx sqldb.Tx, key string, nowMS int64) (size int64, keys []string, err error) {
	var uses int64
	err = tx.QueryRow(ctx, `UPDATE content SET uses = uses - 1 WHERE blob_key = $1 RETURNING uses, size`, key).Scan(&uses, &size)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, nil, fmt.Errorf("content %s is missing", key)
	}
	if err != nil || uses > 0 {
		return size, nil, err
	}
	if keys, err = texts(ctx, tx, `DELETE FROM thumbnail WHERE blob_key = $1 RETURNING thumbnail_key`, key); err != nil {
		return 0, nil, err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM content WHERE blob_key = $1`, key); err != nil {
		return 0, nil, err
	}
	keys = append(keys, key)
	for _, k := range keys {
		_, err := tx.Exec(ctx, `INSERT INTO loose_blob (blob_key, due_ms, removing) VALUES ($1, $2, true)`, k, nowMS)
		if err != nil {
			return 0, nil, err
		}
	}
	return size, keys, nil
}

// texts reads a column of text.
func texts(ctx context.Context, db sqldb.Querier, sql string, args ...any) (all []string, err error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}
