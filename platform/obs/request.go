package obs

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"
)

type requestIDKey struct{}

// WithRequestID returns a context whose log lines (logx.WithContext) carry the request id and which hands it on to
// the services called with it.
func WithRequestID(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	ctx = context.WithValue(ctx, requestIDKey{}, id)
	return logx.ContextWithFields(ctx, logx.Field("request_id", id))
}

// RequestID returns the request id of ctx, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
