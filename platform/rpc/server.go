package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"hongyan/matrix"
	"hongyan/platform/obs"
)

// A Server is what one service offers to the others. It is a grpc.ServiceRegistrar for generated code; all is
// registered before the first call.
type Server struct {
	service string
	opts    Options
	metrics rpcMetrics
	channel inprocgrpc.Channel
	offers  []offer

	mu      sync.Mutex
	closing bool
	calls   int
	idle    chan struct{} // closed when calls is 0 after closing; nil before
}

type offer struct {
	desc *grpc.ServiceDesc
	impl any
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// NewServer returns a server for the service of that name ("room").
func NewServer(service string, opts Options) *Server {
	s := &Server{service: service, opts: opts, metrics: newMetrics(opts.Registerer, "server")}
	s.channel.WithServerUnaryInterceptor(s.unary).WithServerStreamInterceptor(s.stream)
	return s
}

// Service is the server's name.
func (s *Server) Service() string { return s.service }

// RegisterService adds what generated code registers.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.channel.RegisterService(desc, impl)
	s.offers = append(s.offers, offer{desc, impl})
}

// NewGRPC returns a network server that serves the same, for the caller to run and stop.
func (s *Server) NewGRPC(opts ...grpc.ServerOption) *grpc.Server {
	opts = append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream),
		grpc.MaxRecvMsgSize(MaxMessage),
		// Callers ping to notice a hung instance.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
	}, opts...)
	g := grpc.NewServer(opts...)
	for _, o := range s.offers {
		g.RegisterService(o.desc, o.impl)
	}
	return g
}

// Close refuses further calls (503) and waits for those that run, until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	if s.idle == nil {
		s.idle = make(chan struct{})
		if s.calls == 0 {
			close(s.idle)
		}
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close rpc server %s: calls still run: %w", s.service, ctx.Err())
	}
}

// enter counts a call; it fails while the server closes.
func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ToStatus(matrix.Unavailable(nil))
	}
	s.calls++
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	if s.calls == 0 && s.idle != nil {
		close(s.idle)
	}
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	start := time.Now()
	ctx = incoming(ctx)
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.timeout(info.FullMethod))
		defer cancel()
	}
	defer func() {
		if err = s.finish(ctx, info.FullMethod, start, err, recover()); err != nil {
			resp = nil
		}
	}()
	return handler(ctx, req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	start := time.Now()
	ctx := incoming(ss.Context())
	defer func() { err = s.finish(ctx, info.FullMethod, start, err, recover()) }()
	return handler(srv, &serverStream{ServerStream: ss, ctx: ctx})
}

// finish measures a call, logs what went wrong in here, and returns the error as it crosses.
func (s *Server) finish(ctx context.Context, method string, start time.Time, err error, panicked any) error {
	if panicked != nil {
		logx.WithContext(ctx).Errorw("rpc handler panicked", logx.Field("method", method),
			logx.Field("panic", obs.Redact(fmt.Sprint(panicked))), logx.Field("stack", string(debug.Stack())))
		err = matrix.Internal(nil)
	} else if err != nil && ctx.Err() == nil {
		logFault(ctx, method, err)
	}
	out := ToStatus(err)
	s.metrics.observe(method, start, out)
	return out
}

// logFault logs errors that are not the caller's and whose cause ends here.
func logFault(ctx context.Context, method string, err error) {
	var e *matrix.Error
	if errors.As(err, &e) {
		if e.Status < http.StatusInternalServerError || e.Cause == nil {
			return
		}
	} else if _, ok := status.FromError(err); ok {
		return
	}
	logx.WithContext(ctx).Errorw("rpc failed", logx.Field("method", method), logx.Field("error", obs.Redact(err.Error())))
}

// incoming takes the request id out of the metadata.
func incoming(ctx context.Context) context.Context {
	if ids := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(ids) > 0 {
		return obs.WithRequestID(ctx, ids[0])
	}
	return ctx
}

func statusCode(err error) string { return status.Code(err).String() }

// serverStream is a stream with another context.
type serverStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream has one, as gRPC defines it
}

// Context returns the stream's context.
func (s *serverStream) Context() context.Context { return s.ctx }
