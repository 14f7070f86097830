package rpctest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	pb "github.com/fullstorydev/grpchan/grpchantesting"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"hongyan/matrix"
	"hongyan/platform/rpc"
)

func serverStreams(t *testing.T, open Open) {
	client := start(t, open, &script{server: func(m *pb.Message, ss pb.TestService_ServerStreamServer) error {
		for i := range m.GetCount() {
			if err := ss.Send(&pb.Message{Count: i}); err != nil {
				return err
			}
		}
		return nil
	}}, rpc.Options{})
	stream, err := client.ServerStream(within(t), &pb.Message{Count: 1000})
	require.NoError(t, err)
	for i := range int32(1000) {
		m, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, i, m.GetCount())
	}
	_, err = stream.Recv()
	require.Equal(t, io.EOF, err)
}

func clientStreams(t *testing.T, open Open) {
	client := start(t, open, &script{client: func(ss pb.TestService_ClientStreamServer) error {
		var sum int32
		for {
			m, err := ss.Recv()
			if errors.Is(err, io.EOF) {
				return ss.SendAndClose(&pb.Message{Count: sum})
			}
			if err != nil {
				return err
			}
			sum += m.GetCount()
		}
	}}, rpc.Options{})
	stream, err := client.ClientStream(within(t))
	require.NoError(t, err)
	for i := range int32(100) {
		require.NoError(t, stream.Send(&pb.Message{Count: i}))
	}
	m, err := stream.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, 4950, m.GetCount())
}

func bothWays(t *testing.T, open Open) {
	client := start(t, open, &script{bidi: echo}, rpc.Options{})
	stream, err := client.BidiStream(within(t))
	require.NoError(t, err)
	for i := range int32(100) {
		require.NoError(t, stream.Send(&pb.Message{Count: i}))
		m, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, i, m.GetCount())
	}
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.Equal(t, io.EOF, err)
}

func echo(ss pb.TestService_BidiStreamServer) error {
	for {
		m, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ss.Send(m); err != nil {
			return err
		}
	}
}

func streamErrors(t *testing.T, open Open) {
	want := matrix.NewError(matrix.CodeForbidden, "Enough.").WithField("after", "one")
	client := start(t, open, &script{server: func(_ *pb.Message, ss pb.TestService_ServerStreamServer) error {
		if err := ss.Send(&pb.Message{Count: 1}); err != nil {
			return err
		}
		return want.WithCause(errors.New("secret"))
	}}, rpc.Options{})
	stream, err := client.ServerStream(within(t), &pb.Message{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, want, matrix.AsError(err))
}

func streamsUnlimited(t *testing.T, open Open) {
	limited := make(chan bool, 1)
	client := start(t, open, &script{server: func(_ *pb.Message, ss pb.TestService_ServerStreamServer) error {
		_, ok := ss.Context().Deadline()
		limited <- ok
		return nil
	}}, rpc.Options{})
	stream, err := client.ServerStream(t.Context(), &pb.Message{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, io.EOF, err)
	require.False(t, await(t, "call", limited))
}

func cancellingStreams(t *testing.T, open Open) {
	ended := make(chan error, 1)
	client := start(t, open, &script{server: func(_ *pb.Message, ss pb.TestService_ServerStreamServer) error {
		_ = ss.Send(&pb.Message{}) // it may fail: what was sent has arrived, and the caller is gone already
		<-ss.Context().Done()
		ended <- ss.Context().Err()
		return ss.Context().Err()
	}}, rpc.Options{})
	ctx, cancel := context.WithCancel(within(t))
	stream, err := client.ServerStream(ctx, &pb.Message{})
	require.NoError(t, err)
	_, err = stream.Recv()
	require.NoError(t, err)
	cancel()
	_, err = stream.Recv()
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, await(t, "handler's end", ended), context.Canceled)
}

func largeMessages(t *testing.T, open Open) {
	client := start(t, open, &script{unary: func(_ context.Context, m *pb.Message) (*pb.Message, error) { return m, nil }}, rpc.Options{})
	payload := bytes.Repeat([]byte("x"), 8<<20) // above gRPC's own default
	got, err := client.Unary(within(t), &pb.Message{Payload: payload})
	require.NoError(t, err)
	require.True(t, bytes.Equal(payload, got.GetPayload()))
}

func missingService(t *testing.T, open Open) {
	server := rpc.NewServer(Service, rpc.Options{})
	conns := open(t, server, rpc.Options{})
	client := pb.NewTestServiceClient(conns.Conn("absent"))
	_, err := client.Unary(within(t), &pb.Message{})
	require.Equal(t, http.StatusServiceUnavailable, matrix.AsError(err).Status)
	require.Positive(t, matrix.AsError(err).RetryAfter)
	_, err = client.ServerStream(within(t), &pb.Message{})
	require.Equal(t, http.StatusServiceUnavailable, matrix.AsError(err).Status)
	require.Empty(t, conns.All("absent"))
	called := false
	err = conns.Broadcast(within(t), "absent", func(context.Context, grpc.ClientConnInterface) error {
		called = true
		return nil
	})
	require.False(t, called)
	require.Equal(t, http.StatusServiceUnavailable, matrix.AsError(err).Status, "nobody has confirmed")
}

func broadcast(t *testing.T, open Open) {
	server := rpc.NewServer(Service, rpc.Options{})
	pb.RegisterTestServiceServer(server, &script{unary: func(_ context.Context, m *pb.Message) (*pb.Message, error) {
		if m.GetCount() < 0 {
			return nil, matrix.NewError(matrix.CodeForbidden, "Negative.")
		}
		return m, nil
	}})
	conns := open(t, server, rpc.Options{})
	tell := func(count int32) error {
		return conns.Broadcast(within(t), Service, func(ctx context.Context, cc grpc.ClientConnInterface) error {
			_, err := pb.NewTestServiceClient(cc).Unary(ctx, &pb.Message{Count: count})
			return err
		})
	}
	require.NoError(t, tell(1))
	require.Equal(t, matrix.CodeForbidden, matrix.AsError(tell(-1)).Code)
	require.Len(t, conns.All(Service), 1)
}

func closes(t *testing.T, open Open) {
	started, release := make(chan struct{}), make(chan struct{})
	server := rpc.NewServer(Service, rpc.Options{})
	pb.RegisterTestServiceServer(server, &script{unary: func(context.Context, *pb.Message) (*pb.Message, error) {
		close(started)
		<-release
		return &pb.Message{}, nil
	}})
	client := pb.NewTestServiceClient(open(t, server, rpc.Options{}).Conn(Service))
	ctx, result := within(t), make(chan error, 1)
	go func() {
		_, err := client.Unary(ctx, &pb.Message{})
		result <- err
	}()
	await(t, "start", started)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, server.Close(short), context.DeadlineExceeded, "a call runs")
	_, err := client.Unary(within(t), &pb.Message{})
	require.Equal(t, http.StatusServiceUnavailable, matrix.AsError(err).Status)
	close(release)
	require.NoError(t, await(t, "answer", result), "what ran goes on")
	require.NoError(t, server.Close(within(t)))
}
