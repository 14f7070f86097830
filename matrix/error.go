package matrix

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// ErrCode is a Matrix error code (client-server API, "Standard error response").
type ErrCode string

// Error codes of the client-server API.
const (
	CodeForbidden                  ErrCode = "M_FORBIDDEN"
	CodeUnknownToken               ErrCode = "M_UNKNOWN_TOKEN"
	CodeMissingToken               ErrCode = "M_MISSING_TOKEN"
	CodeUserLocked                 ErrCode = "M_USER_LOCKED"
	CodeUserSuspended              ErrCode = "M_USER_SUSPENDED"
	CodeUserDeactivated            ErrCode = "M_USER_DEACTIVATED"
	CodeBadJSON                    ErrCode = "M_BAD_JSON"
	CodeNotJSON                    ErrCode = "M_NOT_JSON"
	CodeNotFound                   ErrCode = "M_NOT_FOUND"
	CodeLimitExceeded              ErrCode = "M_LIMIT_EXCEEDED"
	CodeUnrecognized               ErrCode = "M_UNRECOGNIZED"
	CodeUnknown                    ErrCode = "M_UNKNOWN"
	CodeUserInUse                  ErrCode = "M_USER_IN_USE"
	CodeInvalidUsername            ErrCode = "M_INVALID_USERNAME"
	CodeExclusive                  ErrCode = "M_EXCLUSIVE"
	CodeRoomInUse                  ErrCode = "M_ROOM_IN_USE"
	CodeInvalidRoomState           ErrCode = "M_INVALID_ROOM_STATE"
	CodeUnsupportedRoomVersion     ErrCode = "M_UNSUPPORTED_ROOM_VERSION"
	CodeIncompatibleRoomVersion    ErrCode = "M_INCOMPATIBLE_ROOM_VERSION"
	CodeBadState                   ErrCode = "M_BAD_STATE"
	CodeGuestAccessForbidden       ErrCode = "M_GUEST_ACCESS_FORBIDDEN"
	CodeMissingParam               ErrCode = "M_MISSING_PARAM"
	CodeInvalidParam               ErrCode = "M_INVALID_PARAM"
	CodeTooLarge                   ErrCode = "M_TOO_LARGE"
	CodeResourceLimitExceeded      ErrCode = "M_RESOURCE_LIMIT_EXCEEDED"
	CodeCannotLeaveServerNotice    ErrCode = "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"
	CodeWeakPassword               ErrCode = "M_WEAK_PASSWORD"
	CodeBadAlias                   ErrCode = "M_BAD_ALIAS"
	CodeDuplicateAnnotation        ErrCode = "M_DUPLICATE_ANNOTATION"
	CodeProfileTooLarge            ErrCode = "M_PROFILE_TOO_LARGE"
	CodeKeyTooLarge                ErrCode = "M_KEY_TOO_LARGE"
	CodeInviteBlocked              ErrCode = "M_INVITE_BLOCKED"
	CodeUnableToAuthoriseJoin      ErrCode = "M_UNABLE_TO_AUTHORISE_JOIN"
	CodeUnableToGrantJoin          ErrCode = "M_UNABLE_TO_GRANT_JOIN"
	CodeThreepidNotFound           ErrCode = "M_THREEPID_NOT_FOUND"
	CodeThreepidDenied             ErrCode = "M_THREEPID_DENIED"
	CodeServerNotTrusted           ErrCode = "M_SERVER_NOT_TRUSTED"
	CodeNotYetUploaded             ErrCode = "M_NOT_YET_UPLOADED"
	CodeCannotOverwriteMedia       ErrCode = "M_CANNOT_OVERWRITE_MEDIA"
	CodeInvalidSignature           ErrCode = "M_INVALID_SIGNATURE"
	CodeWrongRoomKeysVersion       ErrCode = "M_WRONG_ROOM_KEYS_VERSION"
	CodeAppserviceLoginUnsupported ErrCode = "M_APPSERVICE_LOGIN_UNSUPPORTED"
)

// Error is the one error that reaches a client: what the client reads (Status, Code, Message and
// Fields) and, hidden from it, the Cause that the log reads.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Code is the Matrix error code; the answer's "errcode".
	Code ErrCode
	// Message says what to do; the answer's "error".
	Message string
	// RetryAfter, where positive, is answered as the Retry-After header and as retry_after_ms.
	RetryAfter time.Duration
	// Fields are further top-level keys of the answer (soft_logout, flows, session, …).
	Fields map[string]any
	// Cause is what went wrong underneath; never sent to a client.
	Cause error
}

// NewError returns an error with the status that belongs to the code.
func NewError(code ErrCode, message string) *Error {
	return &Error{Status: StatusOf(code), Code: code, Message: message}
}

// Errorf is NewError with a formatted message. The message is sent to the client.
func Errorf(code ErrCode, format string, args ...any) *Error {
	return NewError(code, fmt.Sprintf(format, args...))
}

// StatusOf returns the HTTP status that a code has unless an endpoint says otherwise.
func StatusOf(code ErrCode) int {
	switch code {
	case CodeForbidden, CodeUserSuspended, CodeUserDeactivated, CodeGuestAccessForbidden, CodeInviteBlocked,
		CodeWrongRoomKeysVersion, CodeCannotLeaveServerNotice, CodeThreepidDenied:
		return http.StatusForbidden
	case CodeUnknownToken, CodeMissingToken, CodeUserLocked:
		return http.StatusUnauthorized
	case CodeNotFound, CodeUnrecognized:
		return http.StatusNotFound
	case CodeLimitExceeded:
		return http.StatusTooManyRequests
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeNotYetUploaded:
		return http.StatusGatewayTimeout
	case CodeCannotOverwriteMedia:
		return http.StatusConflict
	default:
		return http.StatusBadRequest
	}
}

// IsFinal tells whether an error is a refusal that another attempt would meet too: neither a fault of the server nor a limit.
func IsFinal(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status < http.StatusInternalServerError && e.Code != CodeLimitExceeded
}

// Unavailable is the answer for something that may work when tried again: 503 with Retry-After.
func Unavailable(cause error) *Error {
	return &Error{
		Status: http.StatusServiceUnavailable, Code: CodeUnknown, RetryAfter: time.Second,
		Message: "The server cannot do this right now. Try again in a moment.", Cause: cause,
	}
}

// Internal is the answer for a fault of the server.
func Internal(cause error) *Error {
	return &Error{
		Status: http.StatusInternalServerError, Code: CodeUnknown,
		Message: "Internal server error.", Cause: cause,
	}
}

// WithStatus returns a copy that answers another HTTP status.
func (e *Error) WithStatus(status int) *Error {
	c := *e
	c.Status = status
	return &c
}

// WithCause returns a copy that carries the hidden cause.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// WithField returns a copy with a further top-level key.
func (e *Error) WithField(key string, value any) *Error {
	c := *e
	c.Fields = maps.Clone(e.Fields)
	if c.Fields == nil {
		c.Fields = map[string]any{}
	}
	c.Fields[key] = value
	return &c
}

// Error says the code, the message and the cause: for logs, not for clients.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the hidden cause.
func (e *Error) Unwrap() error { return e.Cause }

// MarshalJSON gives the body of the answer.
func (e *Error) MarshalJSON() ([]byte, error) {
	body := make(map[string]any, len(e.Fields)+3)
	maps.Copy(body, e.Fields)
	body["errcode"] = e.Code
	body["error"] = e.Message
	if e.RetryAfter > 0 {
		body["retry_after_ms"] = e.RetryAfter.Milliseconds()
	}
	return json.Marshal(body)
}

// AsError returns err as an API error. An error that is none becomes Unavailable where its chain says that the same may be
// tried again, by a method Unavailable() bool, and Internal otherwise; err is its cause.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if IsUnavailable(err) {
		return Unavailable(err)
	}
	return Internal(err)
}

// IsUnavailable tells whether an error that is no API error says that the same may be tried again: something that is needed
// cannot be reached now.
func IsUnavailable(err error) bool {
	var e *Error
	var u interface{ Unavailable() bool }
	return !errors.As(err, &e) && errors.As(err, &u) && u.Unavailable()
}
