package httpx

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"

	"hongyan/platform/obs"
)

// routeSpan is what the spans of a route have in common. They hold the route's pattern, never a path: that has ids of
// users and rooms in it.
type routeSpan struct {
	name       string
	attributes []attribute.KeyValue
}

func newRouteSpan(service string, route Route) *routeSpan {
	return &routeSpan{
		name: service + " " + route.Method + " " + route.Path,
		attributes: []attribute.KeyValue{
			attribute.String("hongyan.service", service),
			attribute.String("http.request.method", route.Method), attribute.String("http.route", route.Path),
		},
	}
}

// begin begins the span of a request that is traced; ended is nil for one that is not.
//
//go:noinline
func (s *routeSpan) begin(ctx context.Context, h http.Header) (traced context.Context, ended func(*response)) {
	ctx, span := obs.Continue(ctx, s.name, propagation.HeaderCarrier(h), s.attributes...)
	if !span.IsRecording() {
		return ctx, nil
	}
	return ctx, func(w *response) {
		status := w.status
		if status == 0 {
			status = http.StatusOK
		}
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
