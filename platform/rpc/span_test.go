package rpc_test

import (
	"io"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"hongyan/matrix"
	"hongyan/platform/obs"
	"hongyan/platform/rpc"
	"hongyan/platform/rpc/rpctest"
)

// TestACallIsTracedOnBothSides holds calls in a process and over the network to the same spans.
func TestACallIsTracedOnBothSides(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(noop.NewTracerProvider()) })
	for name, connect := range map[string]func(*testing.T, *rpc.Server, rpc.Options) *rpc.Conns{
		"network": overTCP,
		"process": func(_ *testing.T, server *rpc.Server, opts rpc.Options) *rpc.Conns {
			conns, local := rpc.NewLocal(opts)
			local.Add(server)
			return conns
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := rpc.NewServer(rpctest.Service, rpc.Options{})
			pb.RegisterTestServiceServer(server, &counter{fail: matrix.NewError(matrix.CodeForbidden, "hush")})
			client := pb.NewTestServiceClient(connect(t, server, rpc.Options{}).Conn(rpctest.Service))
			_, err := client.Unary(t.Context(), &pb.Message{})
			require.Error(t, err)
			require.Empty(t, spans.Ended(), "a call begins no trace")

			ctx, root := obs.Root(t.Context(), "root", nil)
			_, err = client.Unary(ctx, &pb.Message{})
			require.Error(t, err)
			stream, err := client.ServerStream(ctx, &pb.Message{})
			require.NoError(t, err)
			_, err = stream.Recv()
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF)
			require.Eventually(t, func() bool { return len(spans.Ended()) == 4 }, 10*time.Second, time.Millisecond)
			byID := map[trace.SpanID]sdktrace.ReadOnlySpan{}
			for _, span := range spans.Ended() {
				byID[span.SpanContext().SpanID()] = span
			}
			for _, span := range spans.Ended() {
				require.Equal(t, root.SpanContext().TraceID(), span.SpanContext().TraceID())
				require.Equal(t, "Error", span.Status().Code.String())
				require.NotContains(t, span.Status().Description, "hush")
				if span.SpanKind() == trace.SpanKindServer {
					require.Equal(t, trace.SpanKindClient, byID[span.Parent().SpanID()].SpanKind())
					require.Equal(t, span.Name(), byID[span.Parent().SpanID()].Name())
				} else {
					require.Equal(t, root.SpanContext().SpanID(), span.Parent().SpanID())
				}
			}
			root.End()
			spans.Reset()
		})
	}
}
