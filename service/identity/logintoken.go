package identity

import (
	"context"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// keepLoginTokens is how many unused login tokens a user may have; the oldest go first.
const keepLoginTokens = 8

// tokenLogin logs in with a token of /login/get_token, which is gone then.
func (s *Service) tokenLogin(ctx context.Context, body loginBody) (string, session, error) {
	if body.Token == nil {
		return "", session{}, matrix.NewError(matrix.CodeMissingParam, "token is missing.")
	}
	hash := hashSecret(*body.Token)
	userID, ok, err := s.store.LoginTokenUser(ctx, hash, s.nowMs())
	if err != nil {
		return "", session{}, err
	}
	if !ok {
		return "", session{}, errLoginToken()
	}
	x, err := s.signIn(ctx, userID, body.deviceParams, func(ctx context.Context, _ store.Account, c *change) error {
		_, ok, err := s.store.LoginTokenUser(ctx, hash, s.nowMs())
		if err != nil {
			return err
		}
		if !ok {
			return errLoginToken()
		}
		c.do(store.UseLoginToken(hash))
		return nil
	})
	return userID, x, err
}

// postGetToken is POST /v1/login/get_token. Its authentication is asked for every time.
func (s *Service) postGetToken(w http.ResponseWriter, r *http.Request) error {
	caller := httpx.CallerOf(r)
	auth, err := readAuthBody(r, &struct{}{})
	if err != nil {
		return err
	}
	req := authRequest{
		userID: caller.UserID, action: actionGetToken, body: auth, flows: passwordFlows(), from: originOf(r),
	}
	passed, err := s.requireAuth(r.Context(), req)
	if err != nil {
		return err
	}
	token, hash, err := s.newSecret(prefixLogin)
	if err != nil {
		return err
	}
	err = s.changeProven(r.Context(), req, passed, func(context.Context, store.Account) (*change, error) {
		c := &change{}
		c.do(store.InsertLoginToken(caller.UserID, hash, s.nowMs(), s.expiryMs(s.cfg.Tokens.Login), keepLoginTokens)...)
		return c, nil
	})
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, struct {
		Token       string `json:"login_token"`
		ExpiresInMs int64  `json:"expires_in_ms"`
	}{token, s.cfg.Tokens.Login.Milliseconds()})
	return nil
}

func errLoginToken() error {
	return matrix.NewError(matrix.CodeForbidden, "The login token is not valid, or was used before.")
}
