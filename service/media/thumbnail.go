package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"time"

	"hongyan/matrix"
	"hongyan/platform/blob"
	"hongyan/platform/httpx"
	"hongyan/service/media/internal/picture"
	"hongyan/service/media/internal/store"
)

// maxAsked is the largest side that is looked at: more is as much.
const maxAsked = 1 << 20

// getThumbnail answers GET …/thumbnail/{serverName}/{mediaId}.
func (s *Service) getThumbnail(w http.ResponseWriter, r *http.Request) error {
	query := httpx.ReadQuery(r.URL)
	query.Required("width")
	query.Required("height")
	asked := picture.Size{
		Width: int(query.Int("width", 1, 1, maxAsked)), Height: int(query.Int("height", 1, 1, maxAsked)),
		Method: query.Enum("method", picture.Scale, picture.Scale, picture.Crop),
	}
	animated := query.Bool("animated", false)
	if err := query.Err(); err != nil {
		return err
	}
	m, err := s.find(w, r)
	if err != nil || m.Content.Key == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Thumbnails.Timeout)
	defer cancel()
	f, err := s.thumbnail(ctx, httpx.CallerOf(r).UserID, m.Content, asked, animated)
	if err != nil {
		return s.thumbnailError(err)
	}
	f.public = httpx.CallerOf(r).UserID == ""
	return s.serve(w, r, f)
}

// thumbnailError says what a thumbnail is refused with, and counts it.
func (s *Service) thumbnailError(err error) error {
	switch {
	case errors.Is(err, picture.ErrTooLarge):
		s.metrics.thumbnail(thumbnailLarge)
		return matrix.NewError(matrix.CodeTooLarge, "The picture is too large to make a thumbnail of it. Download it.").WithCause(err)
	case errors.Is(err, picture.ErrNotPicture):
		s.metrics.thumbnail(thumbnailNone)
		return matrix.NewError(matrix.CodeUnknown, "This server cannot make thumbnails of such content.").WithCause(err)
	case errors.Is(err, errAtOnce):
		s.metrics.thumbnail(thumbnailBusy)
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many thumbnails at once. Wait until some were made.").WithCause(err)
		e.RetryAfter = time.Second
		return e
	case errors.Is(err, store.ErrNotFound), errors.Is(err, blob.ErrNotFound): // it went meanwhile
		return errNotFound()
	case errors.Is(err, context.DeadlineExceeded):
		s.metrics.thumbnail(thumbnailSlow)
	}
	return err
}

// thumbnail finds or makes a thumbnail. A picture that is no larger than what is asked for is its own.
func (s *Service) thumbnail(ctx context.Context, userID string, c store.Content, asked picture.Size, animated bool) (file, error) {
	size, enough := picture.Choose(s.sizes, asked)
	// What moves, or is larger than all that is made, may be the content itself.
	if enough && !animated {
		kept, err := s.keptThumbnail(ctx, c, size)
		if !errors.Is(err, store.ErrNotFound) {
			return kept, err
		}
	}
	content, err := s.open(ctx, c.Key)
	if err != nil {
		return file{}, err
	}
	defer func() { _ = content.Close() }() // it was read
	info, err := picture.Inspect(content)
	if err != nil {
		return file{}, err
	}
	if (!enough || size.Holds(info)) && (animated || !info.Animated) {
		return file{
			key: c.Key, size: c.Size, contentType: info.ContentType, disposition: thumbnailName(info.ContentType), etag: c.SHA256,
		}, nil
	}
	if size, err = s.affordable(info, size); err != nil {
		return file{}, err
	}
	return s.decoding.do(ctx, want[store.Thumbnail]{user: userID, name: wanted(c, size)}, func() (file, error) {
		if kept, err := s.keptThumbnail(ctx, c, size); !errors.Is(err, store.ErrNotFound) {
			return kept, err
		}
		return s.makeThumbnail(ctx, c, content, info, size)
	})
}

// affordable is the size, or the largest below it that there is memory for: better a small thumbnail than none.
func (s *Service) affordable(info picture.Info, size picture.Size) (picture.Size, error) {
	if info.Pixels() > s.cfg.Thumbnails.MaxPixels {
		return size, picture.ErrTooLarge
	}
	if info.Memory(size) <= s.cfg.Thumbnails.MemoryBytes {
		return size, nil
	}
	best, found := size, false
	for _, o := range s.sizes {
		smaller := o.Method == size.Method && o.Width <= size.Width && o.Height <= size.Height
		if smaller && info.Memory(o) <= s.cfg.Thumbnails.MemoryBytes && (!found || o.Width*o.Height > best.Width*best.Height) {
			best, found = o, true
		}
	}
	if !found {
		return size, picture.ErrTooLarge
	}
	return best, nil
}

// keptThumbnail finds a thumbnail; store.ErrNotFound where there is none.
func (s *Service) keptThumbnail(ctx context.Context, c store.Content, size picture.Size) (file, error) {
	t, err := s.store.Thumbnail(ctx, wanted(c, size))
	return thumbnailFile(t), err
}

func wanted(c store.Content, size picture.Size) store.Thumbnail {
	return store.Thumbnail{Of: c.Key, Width: int64(size.Width), Height: int64(size.Height), Method: size.Method}
}

func thumbnailFile(t store.Thumbnail) file {
	return file{key: t.Key, size: t.Size, contentType: t.ContentType, disposition: thumbnailName(t.ContentType), etag: t.Key}
}

// thumbnailName is the Content-Disposition of a thumbnail, always inline.
func thumbnailName(contentType string) string {
	_, kind, _ := bytes.Cut([]byte(contentType), []byte("/"))
	return disposition(contentType, "thumbnail."+string(kind))
}

// makeThumbnail makes a thumbnail and keeps it.
func (s *Service) makeThumbnail(
	ctx context.Context, c store.Content, content io.ReadSeeker, info picture.Info, size picture.Size,
) (file, error) {
	small, contentType, err := s.decode(ctx, content, info, size)
	if err != nil {
		return file{}, err
	}
	t := wanted(c, size)
	t.ContentType, t.Size = contentType, int64(len(small))
	if t.Key, err = s.newKey(); err != nil {
		return file{}, err
	}
	// It is made: who asked need not be there for it to be kept.
	err = inTime(context.WithoutCancel(ctx), func(ctx context.Context) error {
		if err := s.store.Begin(ctx, t.Key, s.deps.Clock().Add(looseSlack).UnixMilli()); err != nil {
			return err
		}
		if _, err := s.deps.Blobs.Put(ctx, t.Key, bytes.NewReader(small)); err != nil {
			return matrix.Unavailable(err)
		}
		t, err = s.store.AddThumbnail(ctx, t, s.nowMS())
		return err
	})
	if err != nil {
		return file{}, fmt.Errorf("keep a thumbnail: %w", err)
	}
	s.metrics.thumbnail(thumbnailMade)
	return thumbnailFile(t), nil
}

// collectFrom is after how much memory garbage is collected at once, so that it does not add to that of the next picture.
const collectFrom = 32 << 20

// decode makes a picture smaller when there is memory.
func (s *Service) decode(ctx context.Context, content io.ReadSeeker, info picture.Info, size picture.Size) ([]byte, string, error) {
	var small []byte
	var contentType string
	err := s.withMemory(ctx, info.Memory(size), func() (err error) {
		began := time.Now()
		defer func() { s.metrics.thumbnailSeconds.Observe(time.Since(began).Seconds()) }()
		small, contentType, err = picture.Make(ctx, content, info, size)
		return err
	})
	return small, contentType, err
}

// withMemory does what takes so much memory when there is as much.
func (s *Service) withMemory(ctx context.Context, memory int64, do func() error) error {
	if err := s.memory.Acquire(ctx, memory); err != nil {
		return err
	}
	defer s.memory.Release(memory)
	if memory >= collectFrom {
		defer runtime.GC()
	}
	return do()
}
