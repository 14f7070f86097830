// Package rpctest is the conformance suite of rpc: the same calls behave the same in process and over the network.
package rpctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"hongyan/matrix"
	"hongyan/platform/obs"
	"hongyan/platform/rpc"
)

// Service is the name under which the suite's server is to be reached.
const Service = "test"

// Open makes the server reachable and returns connections to it, cleaned up with the test. Connections use the
// options.
type Open func(t *testing.T, server *rpc.Server, opts rpc.Options) *rpc.Conns

// patience is how long something that must happen may take: it only ends tests that have failed.
const patience = 20 * time.Second

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, body := range map[string]func(*testing.T, Open){
		"answers":                        answers,
		"messages are copies":            copies,
		"API errors cross":               errorsCross,
		"other errors do not":            causesStay,
		"a client error is mapped once":  mappedOnce,
		"panics":                         panics,
		"unknown methods":                unknownMethods,
		"the default deadline":           defaultDeadline,
		"a method's deadline":            methodDeadline,
		"the caller's deadline":          callerDeadline,
		"cancelling":                     cancelling,
		"the request id crosses":         requestID,
		"context values do not":          valuesDoNotCross,
		"server streams":                 serverStreams,
		"client streams":                 clientStreams,
		"both ways":                      bothWays,
		"streams end with errors":        streamErrors,
		"streams have no deadline":       streamsUnlimited,
		"cancelling a stream":            cancellingStreams,
		"large messages":                 largeMessages,
		"a missing service":              missingService,
		"broadcast":                      broadcast,
		"closing waits and then refuses": closes,
	} {
		t.Run(name, func(t *testing.T) { body(t, open) })
	}
}

// script is a server that does what a test says.
type script struct {
	pb.UnimplementedTestServiceServer
	unary  func(context.Context, *pb.Message) (*pb.Message, error)
	empty  func(context.Context) error
	client func(pb.TestService_ClientStreamServer) error
	server func(*pb.Message, pb.TestService_ServerStreamServer) error
	bidi   func(pb.TestService_BidiStreamServer) error
}

func (s *script) Unary(ctx context.Context, m *pb.Message) (*pb.Message, error) {
	return s.unary(ctx, m)
}

func (s *script) UseExternalMessageTwice(ctx context.Context, _ *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.empty(ctx)
}
func (s *script) ClientStream(ss pb.TestService_ClientStreamServer) error { return s.client(ss) }
func (s *script) ServerStream(m *pb.Message, ss pb.TestService_ServerStreamServer) error {
	return s.server(m, ss)
}
func (s *script) BidiStream(ss pb.TestService_BidiStreamServer) error { return s.bidi(ss) }

func start(t *testing.T, open Open, s *script, opts rpc.Options) pb.TestServiceClient {
	t.Helper()
	server := rpc.NewServer(Service, opts)
	pb.RegisterTestServiceServer(server, s)
	return pb.NewTestServiceClient(open(t, server, opts).Conn(Service))
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing happened: "+what)
		panic("unreachable")
	}
}

func answers(t *testing.T, open Open) {
	client := start(t, open, &script{unary: func(ctx context.Context, m *pb.Message) (*pb.Message, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		if err := grpc.SetTrailer(ctx, metadata.Pairs("x-trailer", "t")); err != nil {
			return nil, err
		}
		return &pb.Message{Payload: append(m.GetPayload(), md.Get("x-own")[0]...), Count: m.GetCount() + 1}, nil
	}}, rpc.Options{})
	var trailer metadata.MD
	got, err := client.Unary(metadata.AppendToOutgoingContext(within(t), "x-own", "!"),
		&pb.Message{Payload: []byte("hello"), Count: 1}, grpc.Trailer(&trailer))
	require.NoError(t, err)
	require.Equal(t, "hello!", string(got.GetPayload()))
	require.EqualValues(t, 2, got.GetCount())
	require.Equal(t, []string{"t"}, trailer.Get("x-trailer"))
}

func copies(t *testing.T, open Open) {
	kept := &pb.Message{Payload: []byte("server's")}
	client := start(t, open, &script{unary: func(_ context.Context, m *pb.Message) (*pb.Message, error) {
		m.Payload[0] = 'X'
		m.Count = 99
		return kept, nil
	}}, rpc.Options{})
	req := &pb.Message{Payload: []byte("mine")}
	res, err := client.Unary(within(t), req)
	require.NoError(t, err)
	require.Equal(t, "mine", string(req.GetPayload()))
	require.Zero(t, req.GetCount())
	res.Payload[0] = 'X'
	require.Equal(t, "server's", string(kept.GetPayload()))
}

func errorsCross(t *testing.T, open Open) {
	var fail error
	client := start(t, open, &script{unary: func(context.Context, *pb.Message) (*pb.Message, error) { return nil, fail }}, rpc.Options{})
	for _, want := range []*matrix.Error{
		matrix.NewError(matrix.CodeForbidden, "No."),
		matrix.NewError(matrix.CodeNotFound, "None."),
		matrix.NewError(matrix.CodeUnknownToken, "Out.").WithField("soft_logout", true),
		matrix.NewError(matrix.CodeBadJSON, "Bad: \"quoted\" 鴻"),
		{Status: http.StatusTooManyRequests, Code: matrix.CodeLimitExceeded, Message: "Slow.", RetryAfter: 1500 * time.Millisecond},
		{Status: http.StatusUnauthorized, Code: matrix.CodeForbidden, Message: "Again.", Fields: map[string]any{
			"flows": []any{map[string]any{"stages": []any{"m.login.dummy"}}}, "session": "s",
		}},
		matrix.Unavailable(nil),
		matrix.Internal(nil),
		{Status: http.StatusConflict, Code: matrix.CodeCannotOverwriteMedia, Message: "There."},
	} {
		fail = fmt.Errorf("wrapped: %w", want.WithCause(errors.New("secret cause")))
		_, err := client.Unary(within(t), &pb.Message{})
		var got *matrix.Error
		require.ErrorAs(t, err, &got)
		require.Equal(t, want, got)
		require.NotContains(t, err.Error(), "secret")
	}
}

func causesStay(t *testing.T, open Open) {
	var fail error
	client := start(t, open, &script{unary: func(context.Context, *pb.Message) (*pb.Message, error) { return nil, fail }}, rpc.Options{})
	for _, tc := range []struct {
		err    error
		status int
	}{
		{errors.New("secret"), http.StatusInternalServerError},
		{fmt.Errorf("secret: %w", io.EOF), http.StatusInternalServerError},
		{fmt.Errorf("secret: %w", away{}), http.StatusServiceUnavailable},
		{fmt.Errorf("secret: %w", context.Canceled), http.StatusServiceUnavailable},
		{fmt.Errorf("secret: %w", context.DeadlineExceeded), http.StatusServiceUnavailable},
		{status.Error(codes.Unavailable, "not now"), http.StatusServiceUnavailable},
		{status.Error(codes.InvalidArgument, "generated code was misused"), http.StatusInternalServerError},
	} {
		fail = tc.err
		_, err := client.Unary(within(t), &pb.Message{})
		var got *matrix.Error
		require.ErrorAs(t, err, &got, "%v", tc.err)
		require.Equal(t, tc.status, got.Status, "%v", tc.err)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, got.Message, "misused", "gRPC's words are not for clients")
		require.NotErrorIs(t, err, context.Canceled, "the caller has not cancelled")
	}
}

// An error that a service passes on from another one is still itself.
func mappedOnce(t *testing.T, open Open) {
	inner := start(t, open, &script{unary: func(context.Context, *pb.Message) (*pb.Message, error) {
		return nil, matrix.NewError(matrix.CodeInviteBlocked, "Blocked.").WithField("by", "@a:b")
	}}, rpc.Options{})
	outer := start(t, open, &script{unary: func(ctx context.Context, m *pb.Message) (*pb.Message, error) {
		_, err := inner.Unary(ctx, m)
		return nil, fmt.Errorf("ask the inner: %w", err)
	}}, rpc.Options{})
	_, err := outer.Unary(within(t), &pb.Message{})
	require.Equal(t, matrix.NewError(matrix.CodeInviteBlocked, "Blocked.").WithField("by", "@a:b"), matrix.AsError(err))
}

func panics(t *testing.T, open Open) {
	client := start(t, open, &script{
		unary:  func(context.Context, *pb.Message) (*pb.Message, error) { panic("secret") },
		server: func(*pb.Message, pb.TestService_ServerStreamServer) error { panic("secret") },
	}, rpc.Options{})
	_, err := client.Unary(within(t), &pb.Message{})
	require.Equal(t, http.StatusInternalServerError, matrix.AsError(err).Status)
	require.NotContains(t, err.Error(), "secret")
	stream, err := client.ServerStream(within(t), &pb.Message{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, http.StatusInternalServerError, matrix.AsError(err).Status)
	require.NotContains(t, err.Error(), "secret")
}

func unknownMethods(t *testing.T, open Open) {
	server := rpc.NewServer(Service, rpc.Options{})
	pb.RegisterTestServiceServer(server, &script{})
	conn := open(t, server, rpc.Options{}).Conn(Service)
	for _, method := range []string{"/grpchantesting.TestService/Nothing", "/nothing.Service/Nothing"} {
		err := conn.Invoke(within(t), method, &pb.Message{}, &pb.Message{})
		require.Equal(t, http.StatusInternalServerError, matrix.AsError(err).Status)
		require.Contains(t, err.Error(), "Unimplemented")
	}
}

func waiting(limits chan<- time.Duration) *script {
	report := func(ctx context.Context) {
		var limit time.Duration
		if end, ok := ctx.Deadline(); ok {
			limit = time.Until(end)
		}
		limits <- limit
	}
	return &script{
		unary: func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
			report(ctx)
			return &pb.Message{}, nil
		},
		empty: func(ctx context.Context) error {
			report(ctx)
			return nil
		},
	}
}

func defaultDeadline(t *testing.T, open Open) {
	limits := make(chan time.Duration, 1)
	client := start(t, open, waiting(limits), rpc.Options{})
	_, err := client.Unary(context.Background(), &pb.Message{})
	require.NoError(t, err)
	got := await(t, "call", limits)
	require.Positive(t, got)
	require.LessOrEqual(t, got, rpc.DefaultTimeout)
}

func methodDeadline(t *testing.T, open Open) {
	limits := make(chan time.Duration, 1)
	client := start(t, open, waiting(limits), rpc.Options{Timeouts: map[string]time.Duration{
		"/grpchantesting.TestService/UseExternalMessageTwice": time.Hour,
	}})
	_, err := client.UseExternalMessageTwice(context.Background(), &emptypb.Empty{})
	require.NoError(t, err)
	require.Greater(t, await(t, "call", limits), 50*time.Minute)
	_, err = client.Unary(context.Background(), &pb.Message{})
	require.NoError(t, err)
	require.LessOrEqual(t, await(t, "call", limits), rpc.DefaultTimeout)
}

func callerDeadline(t *testing.T, open Open) {
	ended := make(chan error, 1)
	client := start(t, open, &script{unary: func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}, rpc.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := client.Unary(ctx, &pb.Message{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, http.StatusServiceUnavailable, matrix.AsError(err).Status)
	require.Error(t, await(t, "handler's end", ended))
}

func cancelling(t *testing.T, open Open) {
	started, ended := make(chan struct{}), make(chan error, 1)
	client := start(t, open, &script{unary: func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}, rpc.Options{})
	ctx, cancel := context.WithCancel(within(t))
	result := make(chan error, 1)
	go func() {
		_, err := client.Unary(ctx, &pb.Message{})
		result <- err
	}()
	await(t, "start", started)
	cancel()
	require.ErrorIs(t, await(t, "error", result), context.Canceled)
	require.ErrorIs(t, await(t, "handler's end", ended), context.Canceled)
}

func requestID(t *testing.T, open Open) {
	seen := make(chan string, 2)
	client := start(t, open, &script{
		unary: func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
			seen <- obs.RequestID(ctx)
			return &pb.Message{}, nil
		},
		server: func(_ *pb.Message, ss pb.TestService_ServerStreamServer) error {
			seen <- obs.RequestID(ss.Context())
			return nil
		},
	}, rpc.Options{})
	ctx := obs.WithRequestID(within(t), "req1")
	_, err := client.Unary(ctx, &pb.Message{})
	require.NoError(t, err)
	require.Equal(t, "req1", await(t, "call", seen))
	stream, err := client.ServerStream(ctx, &pb.Message{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, "req1", await(t, "call", seen))
}

func valuesDoNotCross(t *testing.T, open Open) {
	seen := make(chan bool, 1)
	client := start(t, open, &script{unary: func(ctx context.Context, _ *pb.Message) (*pb.Message, error) {
		_, ok := rpc.KeyOf(ctx)
		seen <- ok
		return &pb.Message{}, nil
	}}, rpc.Options{})
	_, err := client.Unary(rpc.WithKey(within(t), "!room:b"), &pb.Message{})
	require.NoError(t, err)
	require.False(t, await(t, "call", seen))
}

// away is an error that says that the same may be tried again.
type away struct{}

func (away) Error() string     { return "away" }
func (away) Unavailable() bool { return true }
