package identity

import (
	"net/http"

	"hongyan/platform/httpx"
)

// getWhoami is GET /account/whoami: what the gateway found out about the token.
func (s *Service) getWhoami(w http.ResponseWriter, r *http.Request) error {
	caller := httpx.CallerOf(r)
	httpx.WriteJSON(w, http.StatusOK, struct {
		UserID   string `json:"user_id"`
		DeviceID string `json:"device_id,omitempty"`
		IsGuest  bool   `json:"is_guest"`
	}{caller.UserID, caller.DeviceID, caller.Guest})
	return nil
}

// getThreepids is GET /account/3pid. The list is empty: there is no way to add an identifier yet.
func (s *Service) getThreepids(w http.ResponseWriter, _ *http.Request) error {
	httpx.WriteJSON(w, http.StatusOK, map[string][]empty{"threepids": {}})
	return nil
}
