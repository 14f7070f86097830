package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/blob"
	"hongyan/platform/httpx"
	"hongyan/service/media/internal/store"
)

// defaultWait is how long a download waits for content where it does not say.
const defaultWait = 20 * time.Second

// file is what is served.
type file struct {
	key, contentType, disposition, etag string
	size                                int64
	public                              bool
}

// getDownload answers GET …/download/{serverName}/{mediaId} and …/{fileName}.
func (s *Service) getDownload(w http.ResponseWriter, r *http.Request) error {
	m, err := s.find(w, r)
	if err != nil || m.Content.Key == "" {
		return err
	}
	name := m.FileName
	if given := r.PathValue("fileName"); given != "" {
		if name = given; len(name) > maxFileName {
			return matrix.Errorf(matrix.CodeInvalidParam, "The file name may be %d bytes long.", maxFileName)
		}
	}
	return s.serve(w, r, file{
		key: m.Content.Key, size: m.Content.Size, contentType: m.ContentType, disposition: disposition(m.ContentType, name),
		etag: m.Content.SHA256, public: httpx.CallerOf(r).UserID == "",
	})
}

// find finds the media that a request is about, with its content. Where there is none yet it answers so, and returns none.
func (s *Service) find(w http.ResponseWriter, r *http.Request) (store.Media, error) {
	id, err := s.pathID(r)
	if err != nil {
		return store.Media{}, err
	}
	query := httpx.ReadQuery(r.URL)
	most := s.cfg.MaxWait.Milliseconds()
	wait := query.Int("timeout_ms", min(defaultWait.Milliseconds(), most), 0, most)
	if err := query.Err(); err != nil {
		return store.Media{}, err
	}
	m, err := s.await(r.Context(), id, time.Duration(wait)*time.Millisecond)
	if err == nil {
		s.touch(r.Context(), m)
	}
	if !errors.Is(err, errPending) {
		return m, err
	}
	// Not by way of an error: it is none of the server's, whatever its status.
	e := matrix.NewError(matrix.CodeNotYetUploaded, "The content has not been uploaded yet. Try again later.")
	httpx.WriteJSON(w, e.Status, e)
	return store.Media{}, nil
}

// serve answers with a blob, or the part of it that is asked for.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, f file) error {
	content, err := s.open(r.Context(), f.key)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was read
	h := w.Header()
	protect(h)
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Disposition", f.disposition)
	h.Set("ETag", `"`+f.etag+`"`)
	who := "private"
	if f.public {
		who = "public"
	}
	h.Set("Cache-Control", who+", max-age=86400, immutable") // it never changes, but may get lost
	sized := &sizedReader{inner: content, size: f.size}
	w, r = inRange(w, r)
	http.ServeContent(w, r, "", time.Time{}, sized)
	if sized.err != nil && r.Context().Err() == nil {
		return fmt.Errorf("read blob %s: %w", f.key, sized.err)
	}
	return nil
}

// open opens a blob that the database says is there.
func (s *Service) open(ctx context.Context, key string) (io.ReadSeekCloser, error) {
	content, err := s.deps.Blobs.Open(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		logx.WithContext(ctx).Errorf("media: the blob store lacks %s: was it restored with the database?", key)
		return nil, errNotFound()
	}
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	return content, nil
}

// sizedReader knows where its end is without asking, and keeps why reading failed.
type sizedReader struct {
	inner io.ReadSeeker
	size  int64
	pos   int64
	moved bool
	err   error
}

// Seek only notes where to go.
func (s *sizedReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.pos
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	s.pos, s.moved = offset, true
	return offset, nil
}

func (s *sizedReader) Read(p []byte) (int, error) {
	if s.moved {
		if _, err := s.inner.Seek(s.pos, io.SeekStart); err != nil {
			s.err = err
			return 0, err
		}
		s.moved = false
	}
	n, err := s.inner.Read(p)
	s.pos += int64(n)
	if errors.Is(err, io.EOF) && s.pos < s.size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
