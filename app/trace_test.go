package app_test

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"hongyan/platform/obs"
	"hongyan/test/pgtest"
)

// receiver is a collector of traces: OTLP over gRPC and over HTTP.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu        sync.Mutex
	spans     []*tracepb.Span
	resources map[string]string
	token     string
}

func (r *receiver) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("x-token")) > 0 {
		r.token = md.Get("x-token")[0]
	}
	for _, rs := range req.GetResourceSpans() {
		for _, attribute := range rs.GetResource().GetAttributes() {
			if r.resources == nil {
				r.resources = map[string]string{}
			}
			r.resources[attribute.GetKey()] = attribute.GetValue().GetStringValue()
		}
		for _, ss := range rs.GetScopeSpans() {
			r.spans = append(r.spans, ss.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	raw, _ := io.ReadAll(req.Body)
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &export); err != nil || req.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = r.Export(metadata.NewIncomingContext(req.Context(), metadata.Pairs("x-token", req.Header.Get("X-Token"))), &export)
	out, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(out)
}

// listen serves the collector over a protocol and returns where.
func (r *receiver) listen(t *testing.T, protocol string) string {
	t.Helper()
	if protocol == "http" {
		s := httptest.NewServer(r)
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, r)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		require.NoError(t, <-done)
	})
	return l.Addr().String()
}

// traceOf returns the trace whose root has a name: spans by name, and fails where one of them has no parent among them.
func (r *receiver) traceOf(t *testing.T, root string) map[string][]*tracepb.Span {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var trace string
	for _, s := range r.spans {
		if s.GetName() == root && len(s.GetParentSpanId()) == 0 {
			trace = hex.EncodeToString(s.GetTraceId())
		}
	}
	require.NotEmpty(t, trace, "no trace of %s", root)
	ids, byName := map[string]bool{}, map[string][]*tracepb.Span{}
	for _, s := range r.spans {
		if hex.EncodeToString(s.GetTraceId()) == trace {
			ids[string(s.GetSpanId())] = true
			byName[s.GetName()] = append(byName[s.GetName()], s)
		}
	}
	for name, spans := range byName {
		for _, s := range spans {
			require.True(t, name == root || ids[string(s.GetParentSpanId())], "%s hangs in the air", name)
		}
	}
	return byName
}

// startTracing traces everything to a new receiver; stop sends what is left.
func startTracing(t *testing.T, protocol string) (r *receiver, stop func()) {
	t.Helper()
	r = &receiver{}
	tracing, err := obs.StartTracing(t.Context(), obs.TraceConfig{
		Endpoint: r.listen(t, protocol), Protocol: protocol, SampleRatio: 1, Headers: map[string]obs.Secret{"X-Token": "hush"},
	}, obs.Identity{Service: "hongyan", BootID: "b1", Version: "test"})
	require.NoError(t, err)
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		require.NoError(t, tracing.Stop(ctx))
	}
	t.Cleanup(stop)
	return r, stop
}

const sendRoute = "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}"

func TestARequestIsTracedFromTheGatewayToTheDatabase(t *testing.T) {
	tests := map[string]struct {
		protocol string
		flags    func(t *testing.T) map[string]string
		write    string
	}{
		"sqlite, grpc":   {"grpc", func(*testing.T) map[string]string { return nil }, "write"},
		"postgres, http": {"http", func(t *testing.T) map[string]string { return map[string]string{"database": pgtest.Start(t)} }, "append batch"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			flags := tt.flags(t)
			r, flush := startTracing(t, tt.protocol)
			s := start(t, t.TempDir(), flags)
			token := s.register("alice")
			status, room := s.call("POST", "/_matrix/client/v3/createRoom", token, `{"name":"Wild geese"}`)
			require.Equal(t, 200, status, room)
			path := "/_matrix/client/v3/rooms/" + room["room_id"].(string) + "/send/m.room.message/t1"
			status, sent := s.call("PUT", path, token, `{"msgtype":"m.text","body":"a secret wish"}`)
			require.Equal(t, 200, status, sent)
			s.stop()
			flush()

			trace := r.traceOf(t, "PUT "+sendRoute)
			for _, want := range []string{"room PUT " + sendRoute, "append room", "commit room", tt.write} {
				require.Contains(t, trace, want)
			}
			created := r.traceOf(t, "POST /_matrix/client/v3/createRoom")
			// A call between services has a span on each side.
			kinds := map[tracepb.Span_SpanKind]int{}
			for _, span := range created["hongyan.identity.v1.Identity/Profiles"] {
				kinds[span.GetKind()]++
			}
			require.NotZero(t, kinds[tracepb.Span_SPAN_KIND_CLIENT])
			require.Equal(t, kinds[tracepb.Span_SPAN_KIND_CLIENT], kinds[tracepb.Span_SPAN_KIND_SERVER])
			require.Len(t, kinds, 2)
			require.Equal(t, map[string]string{
				"service.name": "hongyan", "service.instance.id": "b1", "service.version": "test",
			}, r.resources)
			require.Equal(t, "hush", r.token)
			for _, span := range r.spans {
				text := span.String()
				for _, secret := range []string{token, "alice", "secret wish", "Wild geese", room["room_id"].(string), "correct horse"} {
					require.NotContains(t, text, secret, "%s says too much", span.GetName())
				}
			}
		})
	}
}

func TestTracesOfOthers(t *testing.T) {
	const others = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, trusted := range []string{"off", "on"} {
		t.Run("trusted "+trusted, func(t *testing.T) {
			r, flush := startTracing(t, "grpc")
			s := start(t, t.TempDir(), map[string]string{"trace-trust-incoming": trusted})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/_matrix/client/v3/login", http.NoBody)
			require.NoError(t, err)
			req.Header.Set("Traceparent", others)
			req.Close = true
			resp, err := http.DefaultClient.Do(req)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			s.stop()
			flush()
			r.mu.Lock()
			defer r.mu.Unlock()
			require.NotEmpty(t, r.spans)
			for _, span := range r.spans {
				require.Equal(t, trusted == "on", hex.EncodeToString(span.GetTraceId()) == "0af7651916cd43dd8448eb211c80319c", span.GetName())
			}
		})
	}
}

func TestAnUnreachableCollectorHoldsNothingUp(t *testing.T) {
	// Nobody listens on the discard port.
	tracing, err := obs.StartTracing(t.Context(), obs.TraceConfig{Endpoint: "127.0.0.1:9", Protocol: "grpc", SampleRatio: 1}, obs.Identity{Service: "hongyan"})
	require.NoError(t, err)
	s := start(t, t.TempDir(), nil)
	s.register("alice")
	s.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, tracing.Stop(ctx), "the spans are lost, and that is said")
}
