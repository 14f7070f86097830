package obs_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs"
)

func TestTraceConfig(t *testing.T) {
	require.NoError(t, obs.DefaultTraceConfig().Validate())
	for want, change := range map[string]func(*obs.TraceConfig){
		"protocol":            func(c *obs.TraceConfig) { c.Protocol = "zipkin" },
		"sample_ratio":        func(c *obs.TraceConfig) { c.SampleRatio = 1.1 },
		"a number from 0 to":  func(c *obs.TraceConfig) { c.SampleRatio = math.NaN() },
		"want host:port":      func(c *obs.TraceConfig) { c.Endpoint = "localhost" },
		"such as localhost:4": func(c *obs.TraceConfig) { c.Endpoint = "http://u:hush@localhost:4317" },
		"headers":             func(c *obs.TraceConfig) { c.Headers = map[string]obs.Secret{"a b": "c"} },
		"cannot be sent":      func(c *obs.TraceConfig) { c.Headers = map[string]obs.Secret{"a": "hush\r\nb: c"} },
	} {
		c := obs.DefaultTraceConfig()
		change(&c)
		err := c.Validate()
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hush")
		_, err = obs.StartTracing(t.Context(), c, obs.Identity{})
		require.Error(t, err)
	}
}

func TestNothingIsTracedWithoutACollector(t *testing.T) {
	tracing, err := obs.StartTracing(t.Context(), obs.DefaultTraceConfig(), obs.Identity{Service: "hongyan"})
	require.NoError(t, err)
	ctx, span := obs.Root(t.Context(), "request", nil)
	require.False(t, span.IsRecording())
	require.False(t, obs.Traced(ctx))
	require.Equal(t, t.Context(), ctx)
	require.NoError(t, tracing.Stop(t.Context()))
}

func TestLinesOfATracedRequestNameTheTrace(t *testing.T) {
	tracing, err := obs.StartTracing(t.Context(), obs.TraceConfig{Endpoint: "127.0.0.1:9", Protocol: "http", SampleRatio: 1}, obs.Identity{Service: "hongyan"})
	require.NoError(t, err)
	var out buffer
	require.NoError(t, obs.Setup(obs.LogConfig{Level: "info", Format: "json"}, &out))
	ctx, span := obs.Root(obs.WithRequestID(t.Context(), "req1"), "request", nil)
	logx.WithContext(ctx).Info("hello")
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(out.take()), &line))
	require.Equal(t, span.SpanContext().TraceID().String(), line["trace"])
	require.Equal(t, span.SpanContext().SpanID().String(), line["span"])
	require.Equal(t, "req1", line["request_id"])
	require.Equal(t, "info", line["level"])
	require.NoError(t, tracing.Stop(t.Context()), "nothing is left: the span has not ended")
}

// BenchmarkUntraced is what a span costs where there is none.
func BenchmarkUntraced(b *testing.B) {
	b.ReportAllocs()
	ctx := obs.WithRequestID(b.Context(), "req1")
	for b.Loop() {
		if obs.Traced(ctx) {
			b.Fatal("traced")
		}
	}
}
