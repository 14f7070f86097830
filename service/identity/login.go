package identity

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// retryBusy is what clients are told when too many passwords are being checked.
const retryBusy = time.Second

// Types of log-in.
const (
	loginPassword = "m.login.password"
	loginToken    = "m.login.token"
)

// identifier says who logs in (client-server API, "Identifier types"). Of its types only m.id.user is served: nobody
// can have added a third-party identifier yet.
type identifier struct {
	Type string  `json:"type"`
	User *string `json:"user"`
	// Medium and Address name a third-party identifier, in the specification's example of a log-in without a type.
	Medium  *string `json:"medium"`
	Address *string `json:"address"`
}

// loginBody is the body of POST /login.
type loginBody struct {
	Type *string `json:"type"`
	credentials
	deviceParams
}

// credentials prove who somebody is, in a log-in and in user-interactive auth.
type credentials struct {
	Identifier *identifier `json:"identifier"`
	// User, Medium and Address are the deprecated ways to say what Identifier does.
	User     *string `json:"user"`
	Medium   *string `json:"medium"`
	Address  *string `json:"address"`
	Password *string `json:"password"`
	Token    *string `json:"token"`
}

// loginFlow is an entry of GET /login.
type loginFlow struct {
	Type          string `json:"type"`
	GetLoginToken bool   `json:"get_login_token,omitempty"`
}

// getLogin is GET /login.
func (s *Service) getLogin(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, map[string][]loginFlow{
		"flows": {{Type: loginPassword}, {Type: loginToken, GetLoginToken: true}},
	})
	return nil
}

// postLogin is POST /login.
func (s *Service) postLogin(w http.ResponseWriter, r *http.Request) error {
	var body loginBody
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	if body.Type == nil {
		return matrix.NewError(matrix.CodeMissingParam, "type is missing.")
	}
	if err := body.validate(); err != nil {
		return err
	}
	body.remote = remoteAddr(r)
	var userID string
	var x session
	var err error
	switch *body.Type {
	case loginPassword:
		userID, x, err = s.passwordLogin(r.Context(), body, originOf(r))
	case loginToken:
		userID, x, err = s.tokenLogin(r.Context(), body)
	default:
		err = matrix.NewError(matrix.CodeUnknown, "Bad login type.").WithStatus(http.StatusBadRequest)
	}
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, signedIn{UserID: userID, HomeServer: s.deps.ServerName, grant: x.grant()})
	return nil
}

func (s *Service) passwordLogin(ctx context.Context, body loginBody, from origin) (string, session, error) {
	proven, err := s.authenticatePassword(ctx, body.credentials, from)
	if err != nil {
		return "", session{}, err
	}
	// The password must still be the account's when the session begins: who changes it ends all sessions of who knew the
	// old one.
	x, err := s.signIn(ctx, proven.UserID, body.deviceParams, func(_ context.Context, now store.Account, _ *change) error {
		if now.PasswordVersion != proven.PasswordVersion {
			return errCredentials()
		}
		return nil
	})
	return proven.UserID, x, err
}

// authenticatePassword returns the account whose credentials they are, as it was when they were checked. An unknown
// user is as good as a wrong password, and so is one who is deactivated: their password is forgotten, so that nobody
// can prove to be them, and strangers are told nothing (client-server API, POST /login).
func (s *Service) authenticatePassword(ctx context.Context, c credentials, from origin) (store.Account, error) {
	userID, err := s.identify(c)
	if err != nil {
		return store.Account{}, err
	}
	if c.Password == nil {
		return store.Account{}, matrix.NewError(matrix.CodeMissingParam, "password is missing.")
	}
	if userID == "" || len(*c.Password) > maxPasswordLength {
		return store.Account{}, errCredentials()
	}
	end, err := s.beginCheck(ctx, userID, from)
	if err != nil {
		return store.Account{}, err
	}
	account, ok, err := s.checkAccount(ctx, userID, *c.Password)
	if endErr := end(err == nil && !ok); endErr != nil {
		return store.Account{}, errors.Join(err, endErr)
	}
	switch {
	case err != nil:
		return store.Account{}, err
	case !ok:
		return store.Account{}, errCredentials()
	case account.Locked:
		return store.Account{}, errLocked()
	}
	s.rehash(ctx, account, *c.Password)
	return account, nil
}

// checkAccount reports whether a password is an account's. It does the same work for an account that does not exist.
func (s *Service) checkAccount(ctx context.Context, userID, text string) (store.Account, bool, error) {
	account, _, err := s.store.Account(ctx, userID)
	if err != nil {
		return store.Account{}, false, err
	}
	ok, err := s.verify(ctx, account.Password, text)
	return account, ok, busy(err)
}

// rehash stores a password anew if it was hashed with other parameters. It is of no matter to the request.
func (s *Service) rehash(ctx context.Context, account store.Account, text string) {
	if !s.hasher.NeedsRehash(account.Password) {
		return
	}
	phc, err := s.hasher.Hash(ctx, text)
	if err == nil {
		err = s.store.Exec(ctx, []eventlog.Statement{
			store.SwapVersion(account.UserID, account.Version), store.SetHash(account.UserID, phc),
		}...)
	}
	if err != nil {
		logx.WithContext(ctx).Infof("hash password of %s anew: %v", account.UserID, err)
	}
}

// identify returns the user whom credentials name, or "" where it cannot be one of this server.
func (s *Service) identify(c credentials) (string, error) {
	user := c.User
	switch id := c.Identifier; {
	case id == nil:
		if user == nil && c.Medium != nil && c.Address != nil {
			return "", nil
		}
	case id.Type == "m.id.user":
		user = id.User
	case id.Type == "m.id.thirdparty", id.Type == "m.id.phone",
		id.Type == "" && id.Medium != nil && id.Address != nil:
		return "", nil
	case id.Type == "":
		return "", matrix.NewError(matrix.CodeMissingParam, "identifier.type is missing.")
	default:
		return "", matrix.NewError(matrix.CodeInvalidParam, "Unknown type of identifier.")
	}
	if user == nil {
		return "", matrix.NewError(matrix.CodeMissingParam, "identifier.user is missing.")
	}
	return s.userID(*user), nil
}

// userID makes a user id of a local part or a user id, or "" of what is none of this server.
func (s *Service) userID(name string) string {
	if strings.HasPrefix(name, "@") {
		local, server, ok := strings.Cut(name[1:], ":")
		if !ok || server != s.deps.ServerName {
			return ""
		}
		name = local
	}
	name = lowerName(name)
	if matrix.ValidateLocalpart(name, s.server) != nil {
		return ""
	}
	return matrix.NewUserID(name, s.server).String()
}

func errCredentials() *matrix.Error {
	return matrix.NewError(matrix.CodeForbidden, "Invalid user name or password.")
}
