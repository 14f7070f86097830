package identity

import (
	"context"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// registerBody is the body of POST /register.
type registerBody struct {
	Username     *string `json:"username"`
	Password     *string `json:"password"`
	InhibitLogin bool    `json:"inhibit_login"`
	// GuestToken is the access token of the guest who wants to be a user from now on.
	GuestToken *string `json:"guest_access_token"`
	deviceParams
}

// signedIn is the answer of register and login.
type signedIn struct {
	UserID string `json:"user_id"`
	// HomeServer is deprecated; old clients read it.
	HomeServer string `json:"home_server"`
	grant
}

// postRegister is POST /register (client-server API, "Account registration").
func (s *Service) postRegister(w http.ResponseWriter, r *http.Request) error {
	switch kind := httpx.ReadQuery(r.URL).String("kind"); kind {
	case "", "user":
	case "guest":
		return s.registerGuest(w, r)
	default:
		return matrix.NewError(matrix.CodeInvalidParam, "kind must be user or guest.")
	}
	if s.cfg.Registration == RegistrationClosed {
		return errRegistrationClosed()
	}
	var body registerBody
	auth, err := readAuthBody(r, &body)
	if err != nil {
		return err
	}
	body.remote = remoteAddr(r)
	userID, x, err := s.register(r.Context(), body, auth)
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, signedIn{UserID: userID, HomeServer: s.deps.ServerName, grant: x.grant()})
	return nil
}

// register makes an account for who has passed the authentication. All that can be refused before that is.
func (s *Service) register(ctx context.Context, body registerBody, auth authBody) (string, session, error) {
	n := newAccount{}
	var guest string
	switch {
	case body.GuestToken != nil:
		var err error
		if guest, err = s.guestOf(ctx, *body.GuestToken, body); err != nil {
			return "", session{}, err
		}
	case body.Username != nil:
		n.localpart = lowerName(*body.Username)
		if err := s.checkOpenName(ctx, n.localpart); err != nil {
			return "", session{}, err
		}
	}
	if body.Password != nil {
		n.password = *body.Password
		if err := s.checkPassword(n.password); err != nil {
			return "", session{}, err
		}
	}
	if err := body.validate(); err != nil {
		return "", session{}, err
	}
	passed, err := s.requireAuth(ctx, authRequest{action: actionRegister, body: auth, flows: s.registerFlows()})
	if err != nil {
		return "", session{}, err
	}
	// A request without a password is how clients ask which stages there are, so that it is refused only now.
	if body.Password == nil {
		return "", session{}, matrix.NewError(matrix.CodeMissingParam, "password is missing.")
	}
	if token := passed.value(stageToken); token != "" {
		n.claim = func(ctx context.Context, c *change) error { return s.claimRegistrationToken(ctx, c, token) }
	}
	if !body.InhibitLogin {
		n.device = &body.deviceParams
	}
	if guest != "" {
		x, err := s.promoteGuest(ctx, guest, n)
		return guest, x, err
	}
	return s.create(ctx, n)
}

// getAvailable is GET /register/available.
func (s *Service) getAvailable(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Registration == RegistrationClosed {
		return errRegistrationClosed()
	}
	q := httpx.ReadQuery(r.URL)
	name := q.String("username")
	if q.Err() != nil { // it is no text
		return matrix.NewError(matrix.CodeInvalidUsername, "The user name is not valid text.")
	}
	if !q.Has("username") {
		return matrix.NewError(matrix.CodeMissingParam, "username is missing.")
	}
	if err := s.checkOpenName(r.Context(), lowerName(name)); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]bool{"available": true})
	return nil
}

func errRegistrationClosed() error {
	return matrix.NewError(matrix.CodeForbidden, "Registration is closed on this server.")
}

// remoteAddr is the client's address, or empty.
func remoteAddr(r *http.Request) string {
	if a := httpx.CallerOf(r).RemoteAddr; a.IsValid() {
		return a.String()
	}
	return ""
}
