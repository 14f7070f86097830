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
	passed, err := s.requireAuth(r.Context(), authRequest{
		userID: caller.UserID, action: actionPassword, body: auth, flows: passwordFlows(),
	})
	if err != nil {
		return err
	}
	logout := body.LogoutDevices == nil || *body.LogoutDevices
	if err := s.setPassword(r.Context(), passed.userID, *body.NewPassword, logout, caller.DeviceID); err != nil {
		return err
	}
	httpx.WriteJSON(w, http.StatusOK, empty{})
	return nil
}

// setPassword sets a password and, where logout says so, ends all sessions but the one that keeps.
func (s *Service) setPassword(ctx context.Context, userID, text string, logout bool, keep string) error {
	phc, err := s.hash(ctx, text)
	if err != nil {
		return err
	}
	return s.change(ctx, userID, func(ctx context.Context, _ store.Account) (*change, error) {
		c := &change{}
		// What was begun with the old password ends with it.
		c.do(store.SetPassword(userID, phc), store.DeleteAuthSessionsOf(userID), store.DeleteLoginTokensOf(userID))
		if !logout {
			return c, nil
		}
		ids, err := s.devicesIn(ctx, userID, nil)
		if err != nil {
			return nil, err
		}
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == keep })
		return c, s.endSessions(c, userID, ids)
	})
}
