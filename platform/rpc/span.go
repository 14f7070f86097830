package rpc

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"hongyan/platform/obs"
)

// Calls are traced here and nowhere else, so that those within a process and those over the network look the same: the
// trace travels in the metadata, and a call has one span on each side.

func clientSpan(ctx context.Context, method string) (context.Context, trace.Span) {
	if !obs.Traced(ctx) {
		return obs.Span(ctx, "", trace.SpanKindClient)
	}
	return obs.Span(ctx, spanName(method), trace.SpanKindClient, methodAttributes(method)...)
}

func serverSpan(ctx context.Context, service, method string) (context.Context, trace.Span) {
	if len(metadata.ValueFromIncomingContext(ctx, traceparent)) == 0 { // as it is for most calls
		return obs.Span(ctx, "", trace.SpanKindServer)
	}
	md, _ := metadata.FromIncomingContext(ctx) // there is some
	return obs.Continue(ctx, spanName(method), mdCarrier(md),
		append(methodAttributes(method), attribute.String("hongyan.service", service))...)
}

// spanName is the method without the slash in front, as OpenTelemetry wants it.
func spanName(method string) string { return strings.TrimPrefix(method, "/") }

func methodAttributes(method string) []attribute.KeyValue {
	service, name, _ := strings.Cut(spanName(method), "/")
	return []attribute.KeyValue{
		attribute.String("rpc.system", "grpc"), attribute.String("rpc.service", service), attribute.String("rpc.method", name),
	}
}

// endSpan ends a call's span with its status; the text of an error stays out of it.
func endSpan(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	code := status.Code(err)
	span.SetAttributes(attribute.Int("rpc.grpc.status_code", int(code)))
	if err != nil {
		span.SetStatus(codes.Error, code.String())
	}
	span.End()
}

// traceparent is W3C's header in the spelling of metadata.
const traceparent = "traceparent"

func injectTrace(ctx context.Context) context.Context {
	if !obs.Traced(ctx) {
		return ctx
	}
	md, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		md = metadata.MD{}
	}
	obs.Inject(ctx, mdCarrier(md)) // md is a copy
	return metadata.NewOutgoingContext(ctx, md)
}

// mdCarrier is metadata as OpenTelemetry reads and writes it.
type mdCarrier metadata.MD

// Get returns the first value of a key.
func (c mdCarrier) Get(key string) string {
	if values := metadata.MD(c).Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set replaces the values of a key.
func (c mdCarrier) Set(key, value string) { metadata.MD(c).Set(key, value) }

// Keys returns all keys.
func (c mdCarrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for key := range c {
		keys = append(keys, key)
	}
	return keys
}
