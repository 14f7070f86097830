package social

import (
	"context"
	"errors"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
)

const clientPath = "/_matrix/client/v3"

// bindings are the routes with their handlers.
func (s *Service) bindings() []httpx.Binding {
	return []httpx.Binding{{
		// It only reads.
		Route: httpx.Route{Method: http.MethodPost, Path: clientPath + "/user_directory/search", Idempotent: true},
		Handler: func(w http.ResponseWriter, r *http.Request) error {
			return apiError(s.postSearch(w, r))
		},
	}}
}

// apiError makes an error of the database one that the client may try again after; API errors stay what they are.
func apiError(err error) error {
	var known *matrix.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if sqldb.IsConnectionLost(err) || errors.Is(err, context.DeadlineExceeded) {
		return matrix.Unavailable(err)
	}
	return err
}
