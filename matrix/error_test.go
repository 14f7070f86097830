package matrix_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
)

func TestErrorBody(t *testing.T) {
	cause := errors.New("secret detail")
	e := matrix.NewError(matrix.CodeLimitExceeded, "Slow down.").WithCause(cause).WithField("soft_logout", true)
	e.RetryAfter = 1500 * time.Millisecond
	body, err := json.Marshal(e)
	require.NoError(t, err)
	require.JSONEq(t, `{"errcode":"M_LIMIT_EXCEEDED","error":"Slow down.","retry_after_ms":1500,"soft_logout":true}`, string(body))
	require.Equal(t, 429, e.Status)
	require.ErrorIs(t, e, cause)
	require.Contains(t, e.Error(), "secret detail")
}

func TestErrorCopies(t *testing.T) {
	e := matrix.NewError(matrix.CodeForbidden, "No.")
	changed := e.WithStatus(401).WithField("a", 1)
	_ = changed.WithField("b", 2)
	require.Equal(t, 403, e.Status)
	require.Nil(t, e.Fields)
	require.Equal(t, map[string]any{"a": 1}, changed.Fields)
}

// unavailable is an error of something that can be tried again, or not.
type unavailable bool

func (unavailable) Error() string       { return "away" }
func (u unavailable) Unavailable() bool { return bool(u) }

func TestAsError(t *testing.T) {
	e := matrix.NewError(matrix.CodeNotFound, "No such room.")
	require.Same(t, e, matrix.AsError(fmt.Errorf("get room: %w", e)))
	other := matrix.AsError(errors.New("disk full"))
	require.Equal(t, 500, other.Status)
	body, err := json.Marshal(other)
	require.NoError(t, err)
	require.NotContains(t, string(body), "disk full")
	away := matrix.AsError(fmt.Errorf("read room: %w", unavailable(true)))
	require.Equal(t, 503, away.Status)
	require.Positive(t, away.RetryAfter)
	require.Equal(t, 500, matrix.AsError(unavailable(false)).Status)
	require.Equal(t, 404, matrix.AsError(e.WithCause(unavailable(true))).Status, "an API error says itself what it is")
	require.Equal(t, 503, matrix.Unavailable(nil).Status)
	require.Positive(t, matrix.Unavailable(nil).RetryAfter)
}

func TestIsFinal(t *testing.T) {
	for err, final := range map[error]bool{
		matrix.NewError(matrix.CodeForbidden, "No."):                       true,
		fmt.Errorf("join: %w", matrix.NewError(matrix.CodeNotFound, "No")): true,
		matrix.NewError(matrix.CodeLimitExceeded, "Slow down."):            false,
		matrix.Unavailable(nil):                                            false,
		matrix.Internal(nil):                                               false,
		errors.New("disk full"):                                            false,
		nil:                                                                false,
	} {
		require.Equal(t, final, matrix.IsFinal(err), "%v", err)
	}
}

func TestStatusOf(t *testing.T) {
	tests := map[matrix.ErrCode]int{
		matrix.CodeForbidden: 403, matrix.CodeUnknownToken: 401, matrix.CodeMissingToken: 401, matrix.CodeNotFound: 404,
		matrix.CodeUnrecognized: 404, matrix.CodeLimitExceeded: 429, matrix.CodeTooLarge: 413, matrix.CodeBadJSON: 400,
		matrix.CodeNotYetUploaded: 504, matrix.CodeCannotOverwriteMedia: 409, matrix.CodeInviteBlocked: 403,
		matrix.CodeUserInUse: 400, "M_SOMETHING_ELSE": 400,
	}
	for code, status := range tests {
		require.Equal(t, status, matrix.StatusOf(code), code)
	}
}
