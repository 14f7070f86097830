package gateway

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"hongyan/platform/obs"
)

// beginSpan begins the trace of a request, if it is to be traced, and drops what the client says of traces: only the
// gateway may name one on the trusted hop. The span holds the route and the request id, nothing of who calls or what
// about.
func (s *Service) beginSpan(r *http.Request, q *request) *http.Request {
	var from propagation.TextMapCarrier
	if s.trustTraces {
		from = propagation.HeaderCarrier(r.Header)
	}
	ctx, span := obs.Root(r.Context(), q.endpoint.span, from)
	for _, name := range [...]string{obs.HeaderTraceparent, obs.HeaderTracestate, obs.HeaderBaggage} {
		delete(r.Header, name)
	}
	if !span.IsRecording() {
		return r
	}
	span.SetAttributes(
		attribute.String("hongyan.service", "gateway"), attribute.String("hongyan.request_id", q.id),
		attribute.String("http.request.method", q.endpoint.route.Method), attribute.String("http.route", q.endpoint.route.Path),
	)
	q.span = span
	return r.WithContext(ctx)
}

// traced is a context of another origin in which the request goes on, with its span.
func (q *request) traced(ctx context.Context) context.Context {
	if q.span == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, q.span)
}

// endSpan ends the span of a request that was answered.
func (q *request) endSpan(status int) {
	if q.span == nil {
		return
	}
	q.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if q.atFault(status) {
		q.span.SetStatus(codes.Error, "")
	}
	q.span.End()
}
