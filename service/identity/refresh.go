package identity

import (
	"context"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// keepChildren is how many unused pairs a refresh token may have been exchanged for, should its answers get lost.
const keepChildren = 4

// postRefresh is POST /refresh (client-server API, "Refreshing access tokens").
func (s *Service) postRefresh(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		RefreshToken *string `json:"refresh_token"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.RefreshToken == nil {
		return matrix.NewError(matrix.CodeMissingParam, "refresh_token is missing.")
	}
	x, err := s.refresh(r.Context(), hashSecret(*body.RefreshToken))
	if err != nil {
		return err
	}
	answer := x.grant()
	answer.DeviceID = ""
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// refresh exchanges a refresh token for a new pair. The old pair lives until the new one is used.
func (s *Service) refresh(ctx context.Context, hash []byte) (session, error) {
	old, err := s.usableRefresh(ctx, hash)
	if err != nil {
		return session{}, err
	}
	x, t, err := s.newSession(old.UserID, old.DeviceID, true)
	if err != nil {
		return session{}, err
	}
	err = s.change(ctx, old.UserID, func(ctx context.Context, account store.Account) (*change, error) {
		old, err := s.usableRefresh(ctx, hash)
		if err != nil {
			return nil, err
		}
		if account.Locked {
			return nil, errLocked()
		}
		c := &change{}
		if old.Parent != "" {
			c.do(store.Promote(old)...)
		}
		t.Parent = old.ID
		c.do(store.TrimChildren(old.UserID, old.DeviceID, old.ID, keepChildren-1), store.InsertToken(t))
		return c, nil
	})
	return x, err
}

// usableRefresh returns the pair of a refresh token. Where it is only the token that has ended, and the device is
// still there, the error says soft_logout.
func (s *Service) usableRefresh(ctx context.Context, hash []byte) (store.Token, error) {
	t, ok, err := s.store.ByRefreshHash(ctx, hash)
	if err != nil {
		return store.Token{}, err
	}
	if !ok {
		return store.Token{}, errUnknownToken("The refresh token is not known.")
	}
	if t.Revoked || t.RefreshExpiresMs != 0 && t.RefreshExpiresMs <= s.nowMs() {
		return store.Token{}, softLogout("The refresh token has expired or was used before.")
	}
	return t, nil
}

func errUnknownToken(message string) *matrix.Error {
	return matrix.NewError(matrix.CodeUnknownToken, message)
}

func softLogout(message string) error { return errUnknownToken(message).WithField("soft_logout", true) }
