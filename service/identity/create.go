package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/service/identity/internal/password"
	"hongyan/service/identity/internal/store"
)

// maxPasswordLength bounds what is hashed, in bytes.
const maxPasswordLength = 512

// newAccount is an account to be made.
type newAccount struct {
	// localpart is checked; empty lets the server make up a name.
	localpart string
	// password is empty for a guest, who has none.
	password string
	admin    bool
	guest    bool
	// displayName is the first display name; nil is what Config says.
	displayName *string
	// device is nil where the account gets no session.
	device *deviceParams
	// claim adds to the change what must be true when the account is made (a registration token with a use left, a nonce
	// that was not used), or fails; it may be nil.
	claim func(context.Context, *change) error
}

// checkPassword checks a password that is to be set.
func (s *Service) checkPassword(text string) error {
	switch {
	case utf8.RuneCountInString(text) < s.cfg.Passwords.MinLength:
		return matrix.Errorf(matrix.CodeWeakPassword, "The password must have at least %d characters.", s.cfg.Passwords.MinLength)
	case len(text) > maxPasswordLength:
		return matrix.Errorf(matrix.CodeInvalidParam, "The password is longer than %d bytes.", maxPasswordLength)
	}
	return nil
}

// hash hashes a password. Where too many wait it is M_LIMIT_EXCEEDED.
func (s *Service) hash(ctx context.Context, text string) (string, error) {
	phc, err := s.hasher.Hash(ctx, text)
	return phc, busy(err)
}

func busy(err error) error {
	if !errors.Is(err, password.ErrBusy) {
		return err
	}
	e := matrix.NewError(matrix.CodeLimitExceeded, "The server is checking too many passwords. Try again in a moment.")
	e.RetryAfter = retryBusy
	return e.WithCause(err)
}

// checkName checks a name that is to be registered, and that nobody has or had it.
func (s *Service) checkName(ctx context.Context, localpart string) error {
	if err := matrix.ValidateLocalpart(localpart, s.server); err != nil {
		return err
	}
	_, taken, err := s.store.Account(ctx, matrix.NewUserID(localpart, s.server).String())
	if err != nil {
		return err
	}
	if taken {
		return errNameTaken()
	}
	return nil
}

// checkOpenName is checkName for a name that somebody chose who needs no permission. Those that begin with an underscore
// are kept for application services, whose users they stand for (application service API, "Registration").
func (s *Service) checkOpenName(ctx context.Context, localpart string) error {
	if strings.HasPrefix(localpart, "_") {
		return matrix.NewError(matrix.CodeInvalidUsername, "The user name must not begin with an underscore.")
	}
	return s.checkName(ctx, localpart)
}

func errNameTaken() error {
	return matrix.NewError(matrix.CodeUserInUse, "This user name is taken.")
}

// create makes an account. Of several at once for the same name one wins and the others get M_USER_IN_USE.
func (s *Service) create(ctx context.Context, n newAccount) (userID string, x session, err error) {
	var phc string
	if !n.guest {
		if phc, err = s.hash(ctx, n.password); err != nil {
			return "", session{}, err
		}
	}
	for attempt := range maxAttempts {
		localpart := n.localpart
		if localpart == "" {
			if localpart, err = s.randomWord(nameAlphabet, 12); err != nil {
				return "", session{}, err
			}
		}
		userID = matrix.NewUserID(localpart, s.server).String()
		c, x, err := s.accountChange(ctx, userID, phc, n)
		if err != nil {
			return "", session{}, err
		}
		err = s.commit(ctx, userID, eventlog.Txn{}, c.statements, c.entries)
		if err == nil {
			return userID, x, nil
		}
		if !errors.Is(err, eventlog.ErrConflict) {
			return "", session{}, err
		}
		// Either the name is taken now, or what was claimed is, which claim finds out when it is asked again.
		_, taken, err := s.store.Account(ctx, userID)
		if err != nil {
			return "", session{}, err
		}
		if taken && n.localpart != "" {
			return "", session{}, errNameTaken()
		}
		if err := pause(ctx, attempt); err != nil {
			return "", session{}, err
		}
	}
	return "", session{}, matrix.Unavailable(fmt.Errorf("create account: %w", eventlog.ErrConflict))
}

// accountChange is everything that a new account is, and the session that it begins with.
func (s *Service) accountChange(ctx context.Context, userID, phc string, n newAccount) (*change, session, error) {
	now := s.nowMs()
	c := &change{}
	c.do(store.InsertAccount(store.Account{
		UserID: userID, Version: 1, ProfileVersion: 1, Password: phc, Admin: n.admin, Guest: n.guest, CreatedMs: now,
	}))
	if n.claim != nil {
		if err := n.claim(ctx, c); err != nil {
			return nil, session{}, err
		}
	}
	profile := map[string]json.RawMessage{}
	if name := s.firstDisplayName(userID, n.displayName); name != "" {
		value, err := json.Marshal(name)
		if err != nil {
			return nil, session{}, fmt.Errorf("encode display name: %w", err)
		}
		profile[fieldDisplayName] = value
		c.do(store.SetField(store.Field{UserID: userID, Name: fieldDisplayName, Value: value}))
	}
	err := s.tell(c, identitypb.UserEventKind_USER_EVENT_KIND_REGISTERED, "",
		&identitypb.UserEvent{UserId: userID, Profile: profileOf(userID, 1, profile)})
	if err != nil {
		return nil, session{}, err
	}
	if n.device == nil {
		return c, session{}, nil
	}
	x, t, err := s.newSession(userID, n.device.DeviceID, n.device.Refresh)
	if err != nil {
		return nil, session{}, err
	}
	return c, x, s.addDevice(c, t, *n.device)
}

func (s *Service) firstDisplayName(userID string, given *string) string {
	switch {
	case given != nil:
		return *given
	case s.cfg.DefaultDisplayName == DisplayNameLocalpart:
		return matrix.UserID(userID).Localpart()
	}
	return ""
}

// lowerName is how names of users are compared and stored.
func lowerName(name string) string { return strings.ToLower(name) }
