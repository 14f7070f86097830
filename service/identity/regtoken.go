package identity

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// maxRegistrationToken is the length of a registration token (client-server API, "Token-authenticated registration").
const maxRegistrationToken = 64

// validRegistrationToken checks the grammar (appendices, "Opaque Identifiers").
func validRegistrationToken(token string) bool {
	return token != "" && len(token) <= maxRegistrationToken && strings.IndexFunc(token, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("-._~", r)
	}) < 0
}

// getTokenValidity is GET /register/m.login.registration_token/validity.
func (s *Service) getTokenValidity(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Registration == RegistrationClosed {
		return errRegistrationClosed()
	}
	q := httpx.ReadQuery(r.URL)
	token := q.Required("token")
	if err := q.Err(); err != nil {
		return err
	}
	valid, err := s.registrationTokenValid(r.Context(), token)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]bool{"valid": valid})
	return nil
}

// configuredToken reports whether a token is one of the configuration's, which have no limits.
func (s *Service) configuredToken(token string) bool {
	found := 0
	for _, t := range s.cfg.RegistrationTokens {
		found |= subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(token))
	}
	return found == 1
}

func (s *Service) registrationTokenValid(ctx context.Context, token string) (bool, error) {
	if !validRegistrationToken(token) {
		return false, nil
	}
	if s.configuredToken(token) {
		return true, nil
	}
	t, ok, err := s.store.RegistrationToken(ctx, token)
	return ok && t.Valid(s.nowMs()), err
}

// claimRegistrationToken counts a use of a token in the change that makes the account.
func (s *Service) claimRegistrationToken(ctx context.Context, c *change, token string) error {
	valid, err := s.registrationTokenValid(ctx, token)
	if err != nil {
		return err
	}
	if !valid {
		return errRegistrationToken()
	}
	if !s.configuredToken(token) {
		c.do(store.UseRegistrationToken(token, s.nowMs()))
	}
	return nil
}

func errRegistrationToken() *matrix.Error {
	return matrix.NewError(matrix.CodeForbidden, "The registration token is not valid.")
}
