package media

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/media/internal/store"
)

// looseSlack is how much longer than an upload may take its blob is left alone.
const looseSlack = time.Hour

// postUpload answers POST /_matrix/media/v3/upload.
func (s *Service) postUpload(w http.ResponseWriter, r *http.Request) error {
	userID, err := uploader(r)
	if err != nil {
		return err
	}
	m := store.Media{UserID: userID}
	if m.ID, err = s.newID(); err != nil {
		return err
	}
	if err := s.receive(r, m, false); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]string{"content_uri": s.uri(m.ID)})
	return nil
}

// putUpload answers PUT /_matrix/media/v3/upload/{serverName}/{mediaId}.
func (s *Service) putUpload(w http.ResponseWriter, r *http.Request) error {
	userID, err := uploader(r)
	if err != nil {
		return err
	}
	id, err := s.pathID(r)
	if err != nil {
		return err
	}
	m, err := s.get(r.Context(), id)
	switch {
	case err != nil:
		return err
	case m.UserID != userID:
		return matrix.NewError(matrix.CodeForbidden, "This media id is somebody else's.")
	case m.Content.Key != "":
		return errTaken()
	}
	if err := s.receive(r, m, true); err != nil {
		return err
	}
	s.tell(r.Context(), id)
	httpx.WriteJSON(w, http.StatusOK, struct{}{})
	return nil
}

func errTaken() error {
	return matrix.NewError(matrix.CodeCannotOverwriteMedia, "This media has content already. Create another id.")
}

// receive reads the body and makes it the content of a media, which reserved says is there already.
func (s *Service) receive(r *http.Request, m store.Media, reserved bool) (err error) {
	if m.ContentType, m.FileName, err = describe(r); err != nil {
		return err
	}
	release, err := s.uploads.take(m.UserID)
	if err != nil {
		s.metrics.refuse(refusedAtOnce)
		return err
	}
	defer release()
	body, err := s.bound(r, m.UserID)
	if err == nil {
		m.Content, err = s.put(r.Context(), body)
	}
	if err != nil {
		return s.uploadError(err)
	}
	// The content is there: the client need not be, for it to be counted.
	var kept store.Content
	err = inTime(context.WithoutCancel(r.Context()), func(ctx context.Context) (err error) {
		kept, err = s.store.Finish(ctx, m, reserved, s.quota(), s.nowMS())
		return err
	})
	if err != nil {
		if isRefusal(err) { // otherwise it may be there
			s.drop(r.Context(), m.Content.Key)
		}
		return s.uploadError(err)
	}
	s.metrics.uploaded(m.Content.Size, kept.Key != m.Content.Key)
	return nil
}

// put puts content into the blob store.
func (s *Service) put(ctx context.Context, body *body) (store.Content, error) {
	c := store.Content{}
	var err error
	if c.Key, err = s.newKey(); err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.UploadTimeout)
	defer cancel()
	due := s.deps.Clock().Add(s.cfg.UploadTimeout + looseSlack)
	if err := inTime(ctx, func(ctx context.Context) error { return s.store.Begin(ctx, c.Key, due.UnixMilli()) }); err != nil {
		return c, err
	}
	if c.Size, err = s.deps.Blobs.Put(ctx, c.Key, body); err != nil {
		s.drop(ctx, c.Key)
		return c, putError(err)
	}
	c.SHA256 = hex.EncodeToString(body.hash.Sum(nil))
	return c, nil
}

// putError tells what the client did from what the blob store did.
func putError(err error) error {
	var read *readError
	switch {
	case errors.As(err, &read):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return matrix.NewError(matrix.CodeUnknown, "The upload took too long.").WithCause(err)
	}
	return matrix.Unavailable(err)
}

// drop has a blob removed that was begun.
func (s *Service) drop(ctx context.Context, key string) {
	// What fails here is done when the blob is due.
	_ = inTime(context.WithoutCancel(ctx), func(ctx context.Context) error { return s.store.Drop(ctx, key, s.nowMS()) })
}

// body reads a request's body: hashed, and at most limit bytes.
type body struct {
	inner io.Reader
	hash  hash.Hash
	left  int64
	// over is what more is refused with.
	over error
}

// readError says that the client's bytes did not come, or were too many.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

func (b *body) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 { // one more tells that there are more
		p = p[:b.left+1]
	}
	n, err := b.inner.Read(p)
	if int64(n) > b.left {
		return 0, &readError{b.over}
	}
	b.left -= int64(n)
	_, _ = b.hash.Write(p[:n]) // it never fails
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{matrix.NewError(matrix.CodeUnknown, "The upload broke off, or came too slowly.").WithCause(err)}
	}
	return n, err
}

// bound returns the request's body, which is refused where it is larger than an upload or what the user may have.
func (s *Service) bound(r *http.Request, userID string) (*body, error) {
	b := &body{inner: r.Body, hash: sha256.New(), left: s.cfg.MaxUploadBytes, over: errTooLarge(s.cfg.MaxUploadBytes)}
	if r.Body == nil {
		b.inner = http.NoBody
	}
	if r.ContentLength > b.left {
		return nil, b.over
	}
	quota := s.quota()
	if quota == (store.Quota{}) {
		return b, nil
	}
	var used store.Usage
	err := inTime(r.Context(), func(ctx context.Context) (err error) {
		used, err = s.store.Usage(ctx, userID, s.nowMS())
		return err
	})
	if err == nil {
		err = quota.Fits(used, max(r.ContentLength, 0))
	}
	if err != nil {
		return nil, err
	}
	for _, left := range []struct {
		bytes int64
		is    bool
		over  error
	}{{quota.Total - used.Total, quota.Total > 0, store.ErrFull}, {quota.Day - used.Day, quota.Day > 0, store.ErrFullToday}} {
		if left.is && left.bytes < b.left {
			b.left, b.over = left.bytes, left.over
		}
	}
	return b, nil
}

func (s *Service) quota() store.Quota {
	return store.Quota{Total: s.cfg.UserBytes, Day: s.cfg.UserDayBytes}
}

func (s *Service) nowMS() int64 { return s.deps.Clock().UnixMilli() }

func errTooLarge(limit int64) error {
	return matrix.Errorf(matrix.CodeTooLarge, "An upload may be %d bytes large.", limit)
}

func isRefusal(err error) bool {
	return errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrFullToday) || errors.Is(err, store.ErrTaken)
}

// uploadError says what an upload is refused with, and counts it.
func (s *Service) uploadError(err error) error {
	var known *matrix.Error
	switch {
	case errors.Is(err, store.ErrFull):
		s.metrics.refuse(refusedQuota)
		return matrix.Errorf(matrix.CodeForbidden, "This is more than the %d bytes of media that a user may have.", s.cfg.UserBytes).WithCause(err)
	case errors.Is(err, store.ErrFullToday):
		s.metrics.refuse(refusedQuota)
		e := matrix.Errorf(matrix.CodeLimitExceeded, "This is more than the %d bytes that a user may upload on one day.", s.cfg.UserDayBytes)
		e.RetryAfter = time.Duration(store.DayMS-s.nowMS()%store.DayMS) * time.Millisecond
		return e.WithCause(err)
	case errors.Is(err, store.ErrTaken):
		return errTaken()
	case errors.Is(err, store.ErrLate):
		return matrix.NewError(matrix.CodeUnknown, "The upload took too long.").WithCause(err)
	case errors.As(err, &known):
		if known.Code == matrix.CodeTooLarge {
			s.metrics.refuse(refusedLarge)
		}
		return known
	}
	return fmt.Errorf("upload: %w", err)
}
