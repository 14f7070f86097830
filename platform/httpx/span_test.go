package httpx_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

// direct is an upstream that Forward cannot serve on its own goroutine.
type direct struct{ http.RoundTripper }

// TestATraceGoesOnOverTheTrustedHop goes the three ways that a request can take to a service.
func TestATraceGoesOnOverTheTrustedHop(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	otel.SetTracerProvider(provider)
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	handler := httpx.MustServer("room", []httpx.Binding{{
		Route: httpx.Route{Method: http.MethodGet, Path: "/rooms/{roomId}"},
		Handler: func(_ http.ResponseWriter, r *http.Request) error {
			if !obs.Traced(r.Context()) {
				return matrix.NewError(matrix.CodeNotFound, "not traced")
			}
			return matrix.Internal(nil)
		},
	}}, httpx.Options{})
	for name, rt := range map[string]http.RoundTripper{
		"on the caller's goroutine": httpx.Local(handler), "in this process": direct{httpx.Local(handler)},
		"over the network": overNetwork(t, handler),
	} {
		t.Run(name, func(t *testing.T) {
			spans.Reset()
			ctx, root := obs.Root(t.Context(), "root", nil)
			r := httptest.NewRequest(http.MethodGet, "/rooms/!secret:x?access_token=hush", http.NoBody).WithContext(ctx)
			w := httptest.NewRecorder()
			require.NoError(t, httpx.Forward(w, r, rt))
			require.Equal(t, 500, w.Code, "it was traced")
			root.End()
			ended := spans.Ended()
			require.Len(t, ended, 2)
			require.Equal(t, "room GET /rooms/{roomId}", ended[0].Name())
			require.Equal(t, root.SpanContext().SpanID(), ended[0].Parent().SpanID())
			require.Equal(t, "Error", ended[0].Status().Code.String())
			for _, a := range ended[0].Attributes() {
				require.NotContains(t, a.Value.String(), "secret")
				require.NotContains(t, a.Value.String(), "hush")
			}

			w = httptest.NewRecorder()
			r = httptest.NewRequest(http.MethodGet, "/rooms/!secret:x", http.NoBody)
			require.NoError(t, httpx.Forward(w, r, rt))
			require.Equal(t, 404, w.Code, "who is not traced begins no trace")
		})
	}
}
