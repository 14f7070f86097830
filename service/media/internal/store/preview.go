package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Preview is what is known of a web page at a time.
type Preview struct {
	Name string
	// Slot is when the piece of time begins of which there is one at most.
	Slot, FetchedMS, RemoveMS int64
	// Answer is what clients get, as JSON; of one that failed it is why.
	Failed bool
	Answer string
	// Image is the picture in it, if any: a media of nobody's, whose content was put under Image.Content.Key after Begin.
	Image Media
}

// PreviewBefore finds the newest preview that was fetched at a time or before, PreviewAfter the oldest that was after; ErrNotFound
// where there is none. Failures count only where they are not over by nowMS.
func (s *Store) PreviewBefore(ctx context.Context, name string, atMS, nowMS int64) (Preview, error) {
	return s.preview(ctx, `SELECT fetched_ms, failed, answer FROM preview
		WHERE name = $1 AND fetched_ms <= $2 AND (NOT failed OR remove_ms > $3) ORDER BY slot DESC LIMIT 1`, name, atMS, nowMS)
}

// PreviewAfter is described at PreviewBefore. Failures do not count.
func (s *Store) PreviewAfter(ctx context.Context, name string, atMS int64) (Preview, error) {
	return s.preview(ctx, `SELECT fetched_ms, failed, answer FROM preview
		WHERE name = $1 AND fetched_ms > $2 AND NOT failed ORDER BY slot LIMIT 1`, name, atMS)
}

func (s *Store) preview(ctx context.Context, sql, name string, args ...any) (Preview, error) {
	p := Preview{Name: name}
	err := s.db.QueryRow(ctx, sql, append([]any{name}, args...)...).Scan(&p.FetchedMS, &p.Failed, &p.Answer)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Preview{}, ErrNotFound
	}
	if err != nil {
		return Preview{}, fmt.Errorf("read a preview: %w", err)
	}
	return p, nil
}

// KeepPreview keeps a preview with its picture, and returns the one that is kept: another instance may have made one for the same
// slot, which stays unless it failed.
func (s *Store) KeepPreview(ctx context.Context, p Preview, nowMS int64) (Preview, error) {
	kept := p
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		kept = p
		c := p.Image.Content
		n, err := tx.Exec(ctx, `INSERT INTO preview (name, slot, fetched_ms, remove_ms, failed, answer, answer_bytes, media_id, media_bytes)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (name, slot) DO UPDATE SET fetched_ms = excluded.fetched_ms, remove_ms = excluded.remove_ms,
				failed = excluded.failed, answer = excluded.answer, answer_bytes = excluded.answer_bytes,
				media_id = excluded.media_id, media_bytes = excluded.media_bytes
			WHERE preview.failed`, p.Name, p.Slot, p.FetchedMS, p.RemoveMS, p.Failed, p.Answer, int64(len(p.Answer)), p.Image.ID, c.Size)
		if err != nil {
			return err
		}
		if n == 0 {
			err = tx.QueryRow(ctx, `SELECT fetched_ms, failed, answer FROM preview WHERE name = $1 AND slot = $2`, p.Name, p.Slot).
				Scan(&kept.FetchedMS, &kept.Failed, &kept.Answer)
			if err != nil || c.Key == "" {
				return err
			}
			return settle(ctx, tx, c.Key, true, nowMS)
		}
		if c.Key == "" {
			return nil
		}
		used, err := useContent(ctx, tx, c)
		if err != nil {
			return err
		}
		image := p.Image
		image.Content = used
		if err := insertMedia(ctx, tx, image, nowMS); err != nil {
			return err
		}
		return settle(ctx, tx, c.Key, used.Key != c.Key, nowMS)
	})
	if err != nil {
		return Preview{}, fmt.Errorf("keep a preview: %w", err)
	}
	return kept, nil
}

// Totals are how many previews there are, how large their answers are together, and how large their pictures.
type Totals struct{ Previews, AnswerBytes, ImageBytes int64 }

// PreviewTotals adds all previews up. It reads an index of their sizes.
func (s *Store) PreviewTotals(ctx context.Context) (t Totals, err error) {
	err = s.db.QueryRow(ctx, `SELECT count(*), CAST(COALESCE(sum(answer_bytes), 0) AS BIGINT), CAST(COALESCE(sum(media_bytes), 0) AS BIGINT)
		FROM preview`).Scan(&t.Previews, &t.AnswerBytes, &t.ImageBytes)
	if err != nil {
		return Totals{}, fmt.Errorf("add previews up: %w", err)
	}
	return t, nil
}

// LastPreview is when the last of the previews is to be removed, 0 where there is none: as long as it stays the same none was made.
func (s *Store) LastPreview(ctx context.Context) (removeMS int64, err error) {
	if err = s.db.QueryRow(ctx, `SELECT COALESCE(max(remove_ms), 0) FROM preview`).Scan(&removeMS); err != nil {
		return 0, fmt.Errorf("find the last preview: %w", err)
	}
	return removeMS, nil
}

// RemovePreviews removes some of the previews that are to be removed before a time, those first whose time comes first, with their
// pictures. It tells how many it were, and how large.
func (s *Store) RemovePreviews(ctx context.Context, beforeMS, most, nowMS int64) (t Totals, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		images, removed, err := removePreviewRows(ctx, tx, beforeMS, most)
		if err != nil {
			return err
		}
		t = removed
		for _, id := range images {
			size, _, err := removeMedia(ctx, tx, Media{ID: id}, nowMS)
			if err != nil && !errors.Is(err, ErrNotFound) { // somebody removed the picture alone
				return err
			}
			t.ImageBytes += size
		}
		return nil
	})
	if err != nil {
		return Totals{}, fmt.Errorf("remove previews: %w", err)
	}
	return t, nil
}

// removePreviewRows removes rows and returns the media of their pictures.
func removePreviewRows(ctx context.Context, tx sqldb.Tx, beforeMS, most int64) (images []string, t Totals, err error) {
	// The time is asked for twice: PostgreSQL looks again only at what stands here, if a failure has become a preview meanwhile.
	rows, err := tx.Query(ctx, `DELETE FROM preview WHERE remove_ms < $1 AND (name, slot) IN
			(SELECT name, slot FROM preview WHERE remove_ms < $1 ORDER BY remove_ms LIMIT $2) RETURNING media_id, answer_bytes`, beforeMS, most)
	if err != nil {
		return nil, t, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var size int64
		if err := rows.Scan(&id, &size); err != nil {
			return nil, t, err
		}
		t.Previews++
		t.AnswerBytes += size
		if id != "" {
			images = append(images, id)
		}
	}
	return images, t, rows.Err()
}
