package identity

import (
	"errors"
	"net/http"

	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
)

// answered lets a handler answer with a challenge, which is no standard error: it has no errcode unless a stage
// failed. Its other errors are those of apiError.
func answered(h httpx.HandlerFunc) httpx.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		var c *challenge
		if errors.As(err, &c) {
			httpx.WriteJSON(w, http.StatusUnauthorized, c.body)
			return nil
		}
		return apiError(err)
	}
}

// apiError makes what a database says while it cannot be reached an answer that asks to try again. Other errors are
// left as they are.
func apiError(err error) error {
	var e *matrix.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	if errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, eventlog.ErrUnknown) ||
		sqldb.IsConnectionLost(err) || sqldb.IsRetryable(err) || sqldb.IsUnreachable(err) {
		return matrix.Unavailable(err)
	}
	return err
}
