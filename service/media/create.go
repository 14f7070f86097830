package media

import (
	"context"
	"errors"
	"net/http"
	"time"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/media/internal/store"
)

// postCreate answers POST /_matrix/media/v1/create.
func (s *Service) postCreate(w http.ResponseWriter, r *http.Request) error {
	userID, err := uploader(r)
	if err != nil {
		return err
	}
	id, err := s.newID()
	if err != nil {
		return err
	}
	now := s.deps.Clock()
	m := store.Media{ID: id, UserID: userID}
	answer := map[string]any{"content_uri": s.uri(id)}
	if age := s.cfg.UnusedExpiresAfter; age > 0 {
		m.ExpiresMS = now.Add(age).UnixMilli()
		answer["unused_expires_at"] = m.ExpiresMS
	}
	err = inTime(r.Context(), func(ctx context.Context) error {
		return s.store.Reserve(ctx, m, int64(s.cfg.MaxUnused), now.UnixMilli())
	})
	if errors.Is(err, store.ErrTooManyUnused) {
		s.metrics.refuse(refusedUnused)
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many media ids wait for their content. Upload to those that you have.")
		e.RetryAfter = time.Minute
		return e.WithCause(err)
	}
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// uploader is who uploads, if they may.
func uploader(r *http.Request) (userID string, err error) {
	c := httpx.CallerOf(r)
	switch {
	case c.UserID == "":
		return "", matrix.NewError(matrix.CodeMissingToken, "An access token is needed.")
	case c.Guest:
		return "", matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests cannot upload: register an account.")
	case c.Suspended:
		return "", matrix.NewError(matrix.CodeUserSuspended, "Your account is suspended: you cannot do this until it is restored.")
	}
	return c.UserID, nil
}
