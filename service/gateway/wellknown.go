package gateway

import (
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// getWellKnown is GET /.well-known/matrix/client ("Well-known URIs").
func (l *local) getWellKnown(w http.ResponseWriter, _ *http.Request) error {
	if l.cfg.PublicURL == "" {
		return matrix.NewError(matrix.CodeNotFound, "This server has no public address configured.")
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{
		"m.homeserver": map[string]string{"base_url": l.cfg.PublicURL},
	})
	return nil
}

// contact is a way to reach the administrator.
type contact struct {
	MatrixID string `json:"matrix_id,omitempty"`
	Email    string `json:"email_address,omitempty"`
	Role     string `json:"role"`
}

// getSupport is GET /.well-known/matrix/support.
func (l *local) getSupport(w http.ResponseWriter, _ *http.Request) error {
	support := l.cfg.Support
	answer := map[string]any{}
	if support.MatrixID != "" || support.Email != "" {
		answer["contacts"] = []contact{{MatrixID: support.MatrixID, Email: support.Email, Role: "m.role.admin"}}
	}
	if support.Page != "" {
		answer["support_page"] = support.Page
	}
	if len(answer) == 0 {
		return matrix.NewError(matrix.CodeNotFound, "This server has no support contact configured.")
	}
	httpx.WriteJSON(w, http.StatusOK, answer)
	return nil
}
