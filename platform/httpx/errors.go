package httpx

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/obs"
)

// StatusClientGone is for metrics only: nobody is left to read the answer.
const StatusClientGone = 499

// WriteError answers err: the one place where errors become answers. What it is says matrix.AsError, except that a
// deadline that ran out is 503 and may be tried again, and that a client that went away is answered nothing. What
// caused a status of 500 or more is logged with the request id, never answered.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e := errorOf(err)
	if e.Status >= http.StatusInternalServerError {
		if errors.Is(r.Context().Err(), context.Canceled) {
			w.WriteHeader(StatusClientGone)
			return
		}
		logx.WithContext(r.Context()).Errorw("request failed",
			logx.Field("method", r.Method), logx.Field("path", r.URL.Path),
			logx.Field("status", e.Status), logx.Field("error", obs.Redact(err.Error())))
	}
	if e.RetryAfter > 0 {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	WriteJSON(w, e.Status, e)
}

// errorOf returns the API error that err is answered as.
func errorOf(err error) *matrix.Error {
	var e *matrix.Error
	known := errors.As(err, &e)
	if errors.Is(err, context.DeadlineExceeded) && (!known || e.Status == http.StatusInternalServerError) {
		return matrix.Unavailable(err)
	}
	var large *http.MaxBytesError
	if !known && errors.As(err, &large) {
		return errTooLarge(large.Limit)
	}
	e = matrix.AsError(err)
	if e.Status < 400 || e.Status > 599 {
		e = matrix.Internal(err)
	}
	return e
}

func errTooLarge(limit int64) *matrix.Error {
	return matrix.Errorf(matrix.CodeTooLarge, "The body is larger than %d bytes.", limit)
}
