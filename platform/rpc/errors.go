package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hongyan/api/common"
	"hongyan/matrix"
)

// ToStatus returns err as it crosses to the caller: a gRPC status that carries the API error. An error that is none
// crosses as its kind only: cancelled, out of time, unavailable, or internal. nil stays nil.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	var e *matrix.Error
	if errors.As(err, &e) {
		return detailed(e)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "cancelled")
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "out of time")
	case matrix.IsUnavailable(err):
		return detailed(matrix.Unavailable(err))
	}
	if st, ok := status.FromError(err); ok {
		return status.Error(st.Code(), st.Message()) // made by gRPC: an unknown method, a message too large
	}
	return status.Error(codes.Internal, "internal error")
}

// detailed returns the status that carries e.
func detailed(e *matrix.Error) error {
	detail := &common.Error{
		Status: int32(e.Status), Code: string(e.Code), Message: e.Message, RetryAfterMs: e.RetryAfter.Milliseconds(),
	}
	if len(e.Fields) > 0 {
		fields, err := json.Marshal(e.Fields)
		if err != nil {
			return status.Error(codes.Internal, "internal error")
		}
		detail.Fields = fields
	}
	st, err := status.New(codeOf(e.Status), string(e.Code)).WithDetails(detail)
	if err != nil {
		return status.Error(codes.Internal, "internal error")
	}
	return st.Err()
}

// refusedReason marks the status of calls that were refused before anything was done. Handlers cannot set it: ToStatus
// takes no details over.
const refusedReason = "hongyan.refused"

// refusal returns the status of a call that was refused unheard: 503, to be repeated elsewhere.
func refusal() error {
	st, _ := status.FromError(ToStatus(matrix.Unavailable(nil)))
	if marked, err := st.WithDetails(&errdetails.ErrorInfo{Reason: refusedReason}); err == nil {
		st = marked
	}
	return st.Err()
}

// isRefusal tells whether a call was refused unheard.
func isRefusal(err error) bool {
	st, _ := status.FromError(err)
	if st.Code() != codes.Unavailable {
		return false
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetReason() == refusedReason {
			return true
		}
	}
	return false
}

// codeOf returns the gRPC code next to an HTTP status. Unavailable stays for calls that were refused unheard.
func codeOf(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusConflict:
		return codes.AlreadyExists
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	}
	if httpStatus >= 400 && httpStatus < 500 {
		return codes.InvalidArgument
	}
	return codes.Internal
}

// FromStatus returns what a call failed with. The API error that crossed is itself again. A call that was cancelled
// by ctx is context.Canceled. One that ran out of time, or was not heard, is 503 and may be tried again
// (errors.Is(err, context.DeadlineExceeded) where it ran out of time). Everything else is internal.
func FromStatus(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	st, _ := status.FromError(err)
	for _, d := range st.Details() {
		if detail, ok := d.(*common.Error); ok {
			return fromDetail(detail)
		}
	}
	code := st.Code()
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	switch code {
	case codes.Canceled:
		if ctx.Err() != nil {
			return fmt.Errorf("call %s: %w", method, ctx.Err())
		}
		return matrix.Unavailable(fmt.Errorf("call %s: the callee gave up", method))
	case codes.DeadlineExceeded:
		return matrix.Unavailable(fmt.Errorf("call %s: %w", method, context.DeadlineExceeded))
	case codes.Unavailable:
		return matrix.Unavailable(fmt.Errorf("call %s: %w", method, err))
	}
	return matrix.Internal(fmt.Errorf("call %s: %w", method, err))
}

func fromDetail(d *common.Error) error {
	e := &matrix.Error{
		Status: int(d.GetStatus()), Code: matrix.ErrCode(d.GetCode()), Message: d.GetMessage(),
		RetryAfter: time.Duration(d.GetRetryAfterMs()) * time.Millisecond,
	}
	if len(d.GetFields()) > 0 {
		if err := json.Unmarshal(d.GetFields(), &e.Fields); err != nil {
			return matrix.Internal(fmt.Errorf("read fields of %s: %w", e.Code, err))
		}
	}
	return e
}
