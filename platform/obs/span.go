package obs

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tracerName is the instrumentation's name in spans.
const tracerName = "hongyan"

// Headers of W3C trace context, which travel over the trusted hop.
const (
	HeaderTraceparent = "Traceparent"
	HeaderTracestate  = "Tracestate"
	HeaderBaggage     = "Baggage"
)

// Traced tells whether the request of ctx is being traced: what a span's name and attributes cost is spent only then.
func Traced(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// Span begins a span below that of ctx. Where the request is not traced it returns ctx and a span that does nothing. It is
// ended with EndSpan, or with its End.
func Span(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, trace.SpanFromContext(nil) //nolint:staticcheck // the span that does nothing
	}
	return parent.TracerProvider().Tracer(tracerName).Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
}

// Root begins the span of a request that came from outside, if it is to be traced. from are the headers that name the
// trace that it continues; nil for a new one.
func Root(ctx context.Context, name string, from propagation.TextMapCarrier, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	provider := tracing()
	if provider == nil {
		return ctx, trace.SpanFromContext(nil) //nolint:staticcheck // the span that does nothing
	}
	if from != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, from)
	}
	spanned, span := provider.Tracer(tracerName).Start(ctx, name,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
	if !span.IsRecording() {
		return ctx, span // below it nothing is traced
	}
	return spanned, span
}

// Continue begins the span of what a caller in the same deployment asked for: below the span of ctx, or else below the one
// that from names, as it does after the network. A request that names none is not traced.
func Continue(ctx context.Context, name string, from propagation.TextMapCarrier, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if Traced(ctx) {
		return Span(ctx, name, trace.SpanKindServer, attributes...)
	}
	if tracing() == nil || from.Get("traceparent") == "" {
		return ctx, trace.SpanFromContext(nil) //nolint:staticcheck // the span that does nothing
	}
	if !trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), from)).IsSampled() {
		return ctx, trace.SpanFromContext(nil) //nolint:staticcheck // the span that does nothing
	}
	return Root(ctx, name, from, attributes...)
}

// Inject names the span of ctx in the headers of a call, if the request is traced.
func Inject(ctx context.Context, to propagation.TextMapCarrier) {
	if Traced(ctx) {
		propagation.TraceContext{}.Inject(ctx, to)
	}
}

// EndSpan ends a span with the outcome of what it stands for. The error's text is not kept: it may hold what users wrote.
func EndSpan(span trace.Span, err error) {
	if !span.IsRecording() {
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// tracing returns the provider of StartTracing; nil where there is none.
func tracing() *sdktrace.TracerProvider {
	provider, _ := otel.GetTracerProvider().(*sdktrace.TracerProvider)
	return provider
}
