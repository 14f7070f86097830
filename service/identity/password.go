package identity

import (
	"context"
	"net/http"
	"slices"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/identity/internal/store"
)

// postPassword is POST /account/password. Without an access token it changes the password of whom the
// authentication names.
func (s *Service) postPassword(w http.ResponseWriter, r *http.Request) error {
	caller := httpx.CallerOf(r)
	var body struct {
		NewPassword   *string `json:"new_password"`
		LogoutDevices *bool   `json:"logout_devices"`
	}
	auth, err := readAuthBody(r, &body)
	if err != nil {
		return err
	}
	if body.NewPassword == nil {
		return matrix.NewError(matrix.CodeMissingParam, "new_password is missing.")
	}
	if err := s.checkPassword(*body.NewPassword); err != nil {
		return err
	}
	req := authRequest{
		userID: caller.UserID, action: actionPassword, body: auth, flows: passwordFlows(), from: originOf(r),
	}
	passed, err := s.requireAuth(r.Context(), req)
	if err != nil {
		return err
	}
	phc, err := s.hash(r.Context(), *body.NewPassword)
	if err != nil {
		return err
	}
	logout := body.LogoutDevices == nil || *body.LogoutDevices
	if err := s.changeProven(r.Context(), req, passed, s.passwordChange(phc, logout, caller.DeviceID)); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// setPassword sets a password and, where logout says so, ends all sessions.
func (s *Service) setPassword(ctx context.Context, userID, text string, logout bool) error {
	phc, err := s.hash(ctx, text)
	if err != nil {
		return err
	}
	return s.change(ctx, userID, s.passwordChange(phc, logout, ""))
}

// passwordChange sets a password's hash and, where logout says so, ends all sessions but that of the device keep.
func (s *Service) passwordChange(phc string, logout bool, keep string) func(context.Context, store.Account) (*change, error) {
	return func(ctx context.Context, account store.Account) (*change, error) {
		c, userID := &change{}, account.UserID
		// What was begun with the old password ends with it.
		c.do(store.SetPassword(userID, phc), store.DeleteAuthSessionsOf(userID), store.DeleteLoginTokensOf(userID))
		if !logout {
			return c, nil
		}
		devices, err := s.devicesIn(ctx, userID, nil)
		if err != nil {
			return nil, err
		}
		devices = slices.DeleteFunc(devices, func(d store.Device) bool { return d.DeviceID == keep })
		return c, s.endSessions(c, userID, devices)
	}
}
