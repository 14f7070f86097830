package identity

import (
	"context"
	"errors"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// registerGuest is POST /register?kind=guest ("Guest Access"): an account without a password, whose name and device id are the
// server's. Of the body it reads the device's display name.
func (s *Service) registerGuest(w http.ResponseWriter, r *http.Request) error {
	if !s.cfg.GuestAccess {
		return matrix.NewError(matrix.CodeGuestAccessForbidden, "Guest accounts are not allowed on this server.")
	}
	var body struct {
		DisplayName *string `json:"initial_device_display_name"`
	}
	if err := httpx.ReadJSON(r, &body); err != nil {
		return err
	}
	device := deviceParams{DisplayName: body.DisplayName, remote: remoteAddr(r)}
	if err := device.validate(); err != nil {
		return err
	}
	userID, x, err := s.create(r.Context(), newAccount{guest: true, device: &device})
	if err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, signedIn{UserID: userID, HomeServer: s.deps.ServerName, grant: x.grant()})
	return nil
}

// guestOf returns the guest whose access token a registration shows, to become a user under the name that they have.
func (s *Service) guestOf(ctx context.Context, token string, body registerBody) (string, error) {
	if body.Username == nil {
		return "", matrix.NewError(matrix.CodeMissingParam, "username is missing: it must be the guest's.")
	}
	a, err := s.authenticate(ctx, token, body.remote)
	refused := (*matrix.Error)(nil)
	if err != nil && !(errors.As(err, &refused) && refused.Status == http.StatusUnauthorized) {
		return "", err
	}
	switch {
	case err != nil || !a.Guest: // an answer of 401 would be about the stages
		return "", matrix.NewError(matrix.CodeForbidden, "guest_access_token is not a guest's.")
	case matrix.UserID(a.UserID).Localpart() != lowerName(*body.Username):
		return "", matrix.NewError(matrix.CodeInvalidUsername, "username is not the guest's of guest_access_token.")
	case a.Locked:
		return "", errLocked()
	}
	return a.UserID, nil
}

// promoteGuest makes a guest a user, who keeps the devices, and begins a session if one is wanted.
func (s *Service) promoteGuest(ctx context.Context, userID string, n newAccount) (session, error) {
	phc, err := s.hash(ctx, n.password)
	if err != nil {
		return session{}, err
	}
	err = s.change(ctx, userID, func(ctx context.Context, account store.Account) (*change, error) {
		if !account.Guest { // another registration was faster
			return nil, errNameTaken()
		}
		// Gateways must not go on taking the devices for a guest's.
		c := &change{forget: &[]string{}}
		c.do(store.EndGuest(userID, phc))
		if n.claim != nil {
			return c, n.claim(ctx, c)
		}
		return c, nil
	})
	if err != nil || n.device == nil {
		return session{}, err
	}
	return s.signIn(ctx, userID, *n.device, func(context.Context, store.Account, *change) error { return nil })
}
