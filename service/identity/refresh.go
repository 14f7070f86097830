package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// keepChildren is how many unused pairs a refresh token may have been exchanged for: a new one follows when the access
// token of the last has expired.
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
	x, err := s.refresh(r.Context(), *body.RefreshToken)
	if err != nil {
		return err
	}
	answer := x.grant()
	answer.DeviceID = ""
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}

// refresh exchanges a refresh token for a new pair. The old pair lives until the new one is used. Until then every
// exchange answers the same new pair, so that of several at once none answers a pair that another's use has ended. That
// works although only hashes are stored: the pair is made of the old token, which the client has, and a seed, which the
// database has, until the pair is in use.
func (s *Service) refresh(ctx context.Context, secret string) (session, error) {
	hash := hashSecret(secret)
	old, err := s.usableRefresh(ctx, hash)
	if err != nil {
		return session{}, err
	}
	var x session
	err = s.change(ctx, old.UserID, func(ctx context.Context, account store.Account) (*change, error) {
		old, err := s.usableRefresh(ctx, hash)
		if err != nil {
			return nil, err
		}
		if account.Locked {
			return nil, errLocked()
		}
		child, ok, err := s.store.NewestChild(ctx, old)
		if err != nil {
			return nil, err
		}
		if ok && s.lives(child) {
			x = s.sessionOf(child, secret)
			return nil, nil
		}
		c := &change{}
		if old.Parent != "" {
			c.do(store.Promote(old)...)
		}
		t, err := s.newChild(old, secret)
		if err != nil {
			return nil, err
		}
		x = s.sessionOf(t, secret)
		c.do(store.TrimChildren(old.UserID, old.DeviceID, old.ID, keepChildren-1), store.InsertToken(t))
		return c, nil
	})
	return x, err
}

// lives reports whether a pair that was not used yet can be answered again.
func (s *Service) lives(t store.Token) bool {
	now := s.nowMs()
	return len(t.Seed) > 0 && (t.ExpiresMs == 0 || t.ExpiresMs > now) && (t.RefreshExpiresMs == 0 || t.RefreshExpiresMs > now)
}

// newChild is a new pair for who has the refresh token of old.
func (s *Service) newChild(old store.Token, secret string) (store.Token, error) {
	_, t, err := s.newSession(old.UserID, old.DeviceID, true)
	if err != nil {
		return store.Token{}, err
	}
	t.Parent, t.Seed = old.ID, make([]byte, sha256.Size)
	if _, err := io.ReadFull(s.deps.Rand, t.Seed); err != nil {
		return store.Token{}, fmt.Errorf("read randomness: %w", err)
	}
	access, refresh := derivePair(secret, t.Seed)
	t.AccessHash, t.RefreshHash = hashSecret(access), hashSecret(refresh)
	return t, nil
}

// sessionOf is a pair that newChild made, for who has the refresh token that it was made for.
func (s *Service) sessionOf(t store.Token, secret string) session {
	x := session{deviceID: t.DeviceID}
	x.accessToken, x.refreshToken = derivePair(secret, t.Seed)
	if t.ExpiresMs != 0 {
		x.expiresInMs = t.ExpiresMs - s.nowMs()
	}
	return x
}

// derivePair makes the tokens of a pair. Each has 256 bits that nobody knows who lacks the secret or the seed.
func derivePair(secret string, seed []byte) (access, refresh string) {
	derive := func(prefix string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(prefix)) // a hash.Hash never fails
		mac.Write(seed)
		return prefix + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	return derive(prefixAccess), derive(prefixRefresh)
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
