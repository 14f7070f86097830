package obs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// exportTimeout bounds one export, its repetitions included.
const exportTimeout = 5 * time.Second

// Identity is how a process calls itself in traces and log lines.
type Identity struct {
	// Service is the service that the process runs, or the program's name where it runs several.
	Service string
	// BootID is the process's, Version the program's; empty where there is none.
	BootID, Version string
}

// Tracing is what sends spans to a collector.
type Tracing struct {
	provider *sdktrace.TracerProvider
	cut      context.CancelFunc
}

// StartTracing makes the process trace requests as c says; without an endpoint it does nothing. It needs no collector to be
// there yet: what cannot be sent is dropped and logged. Stop must follow. The provider becomes OpenTelemetry's global one,
// as go-zero's own would, so that libraries find it.
func StartTracing(ctx context.Context, c TraceConfig, who Identity) (*Tracing, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if c.Endpoint == "" {
		return &Tracing{}, nil
	}
	exporter, err := newExporter(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	attributes := []attribute.KeyValue{attribute.String("service.name", who.Service)}
	if who.BootID != "" {
		attributes = append(attributes, attribute.String("service.instance.id", who.BootID))
	}
	if who.Version != "" {
		attributes = append(attributes, attribute.String("service.version", who.Version))
	}
	limit, cut := context.WithCancel(context.WithoutCancel(ctx))
	t := &Tracing{cut: cut, provider: sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&bounded{Exporter: exporter, limit: limit}, sdktrace.WithExportTimeout(exportTimeout)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.SampleRatio))),
		sdktrace.WithResource(resource.NewSchemaless(attributes...)),
	)}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logx.Errorf("trace: %s", Redact(err.Error())) }))
	otel.SetTracerProvider(t.provider)
	return t, nil
}

func newExporter(ctx context.Context, c TraceConfig) (*otlptrace.Exporter, error) {
	if c.Protocol == traceHTTP {
		opts := []otlptracehttp.Option{
			otlptracehttp.WithEndpoint(c.Endpoint), otlptracehttp.WithHeaders(c.headers()), otlptracehttp.WithTimeout(exportTimeout),
		}
		if c.plain() {
			opts = append(opts, otlptracehttp.WithInsecure())
		}
		return otlptracehttp.New(ctx, opts...)
	}
	opts := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpoint(c.Endpoint), otlptracegrpc.WithHeaders(c.headers()), otlptracegrpc.WithTimeout(exportTimeout),
	}
	if c.plain() {
		opts = append(opts, otlptracegrpc.WithInsecure())
	}
	return otlptracegrpc.New(ctx, opts...)
}

// bounded is an exporter whose exports end when limit does.
type bounded struct {
	*otlptrace.Exporter
	limit context.Context //nolint:containedctx // the one of Stop: the SDK hands in none that could end an export early
}

// ExportSpans sends spans.
func (b *bounded) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.limit, cancel)()
	return b.Exporter.ExportSpans(ctx, spans)
}

// Stop sends what is left, until ctx ends, and ends tracing. It fails when ctx ended before everything was sent.
func (t *Tracing) Stop(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if otel.GetTracerProvider() == trace.TracerProvider(t.provider) {
		otel.SetTracerProvider(noop.NewTracerProvider())
	}
	defer t.cut()
	defer context.AfterFunc(ctx, t.cut)()
	err := t.provider.Shutdown(context.WithoutCancel(ctx)) // its goroutines end before it returns
	if err = errors.Join(err, ctx.Err()); err != nil {
		return fmt.Errorf("stop tracing: %w", err)
	}
	return nil
}
