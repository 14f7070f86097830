package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"hongyan/platform/obs"
)

// picker finds the connection for one call.
type picker func(ctx context.Context) (grpc.ClientConnInterface, error)

// conn is a connection to a service as a caller has it, on whatever transport.
type conn struct {
	pick    picker
	opts    Options
	metrics rpcMetrics
}

var _ grpc.ClientConnInterface = (*conn)(nil)

// Invoke makes a unary call.
func (c *conn) Invoke(ctx context.Context, method string, req, resp any, opts ...grpc.CallOption) error {
	start := time.Now()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opts.timeout(method))
		defer cancel()
	}
	cc, err := c.pick(ctx)
	if err == nil {
		err = cc.Invoke(outgoing(ctx), method, req, resp, opts...)
	}
	c.metrics.observe(method, start, err)
	return FromStatus(ctx, method, err)
}

// NewStream opens a stream. It has no deadline but the context's.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	start := time.Now()
	cc, err := c.pick(ctx)
	if err != nil {
		return nil, FromStatus(ctx, method, err)
	}
	stream, err := cc.NewStream(outgoing(ctx), desc, method, opts...)
	if err != nil {
		c.metrics.observe(method, start, err)
		return nil, FromStatus(ctx, method, err)
	}
	return &clientStream{ClientStream: stream, conn: c, ctx: ctx, method: method, start: start}, nil
}

// outgoing puts the request id into the metadata.
func outgoing(ctx context.Context) context.Context {
	if id := obs.RequestID(ctx); id != "" {
		return metadata.AppendToOutgoingContext(ctx, requestIDHeader, id)
	}
	return ctx
}

// clientStream maps a stream's errors. Like every gRPC stream it is used by one sender and one receiver.
type clientStream struct {
	grpc.ClientStream
	conn   *conn
	ctx    context.Context //nolint:containedctx // a stream has one, as gRPC defines it
	method string
	start  time.Time
	done   bool // the receiver's alone
}

// Header waits for the header.
func (s *clientStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, s.mapped(err)
}

// SendMsg sends a message; io.EOF says that RecvMsg knows why it cannot.
func (s *clientStream) SendMsg(m any) error { return s.mapped(s.ClientStream.SendMsg(m)) }

// RecvMsg receives a message; io.EOF is the good end.
func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil && !s.done {
		s.done = true
		final := err
		if errors.Is(err, io.EOF) {
			final = nil
		}
		s.conn.metrics.observe(s.method, s.start, final)
	}
	return s.mapped(err)
}

func (s *clientStream) mapped(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return FromStatus(s.ctx, s.method, err)
}
