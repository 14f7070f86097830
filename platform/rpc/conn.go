package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"hongyan/platform/balance"
	"hongyan/platform/obs"
)

// picker finds the connection for one call.
type picker func(ctx context.Context) (grpc.ClientConnInterface, error)

// conn is a connection to a service as a caller has it, on whatever transport.
type conn struct {
	pick    picker
	opts    Options
	metrics rpcMetrics
	peer    *balance.Peer // nil where somebody else counts
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
	ctx, span := clientSpan(ctx, method)
	var counted balance.Call
	if c.peer != nil {
		counted = c.peer.Begin(false)
	}
	cc, err := c.pick(ctx)
	if err == nil {
		err = cc.Invoke(outgoing(ctx), method, req, resp, opts...)
	}
	if c.peer != nil {
		counted.End(outcomeOf(ctx, counted, err))
	}
	endSpan(span, err)
	c.metrics.observe(method, start, err)
	return FromStatus(ctx, method, err)
}

// NewStream opens a stream. It has no deadline but the context's.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	start := time.Now()
	ctx, span := clientSpan(ctx, method)
	cc, err := c.pick(ctx)
	if err != nil {
		endSpan(span, err)
		return nil, FromStatus(ctx, method, err)
	}
	stream, err := cc.NewStream(outgoing(ctx), desc, method, opts...)
	if err != nil {
		endSpan(span, err)
		c.metrics.observe(method, start, err)
		return nil, FromStatus(ctx, method, err)
	}
	return &clientStream{ClientStream: stream, conn: c, ctx: ctx, span: span, method: method, start: start}, nil
}

// outgoing puts the request id and the trace into the metadata.
func outgoing(ctx context.Context) context.Context {
	if id := obs.RequestID(ctx); id != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, requestIDHeader, id)
	}
	return injectTrace(ctx)
}

// clientStream maps a stream's errors. Like every gRPC stream it is used by one sender and one receiver.
type clientStream struct {
	grpc.ClientStream
	conn   *conn
	ctx    context.Context //nolint:containedctx // a stream has one, as gRPC defines it
	span   trace.Span
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
		endSpan(s.span, final)
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
