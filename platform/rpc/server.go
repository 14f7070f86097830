package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
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
	health  *health.Server
	all     gate // of all calls
	network gate // of those from other processes
}

type offer struct {
	desc *grpc.ServiceDesc
	impl any
}

var _ grpc.ServiceRegistrar = (*Server)(nil)

// NewServer returns a server for the service of that name ("room").
func NewServer(service string, opts Options) *Server {
	s := &Server{service: service, opts: opts, metrics: newMetrics(opts.Registerer, "server"), health: health.NewServer()}
	s.health.SetServingStatus(service, healthpb.HealthCheckResponse_SERVING)
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

// NewGRPC returns a network server that serves the same, for the caller to run and stop, and the standard health
// service: SERVING until Close.
func (s *Server) NewGRPC(opts ...grpc.ServerOption) *grpc.Server {
	opts = append([]grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.arrives, s.unary), grpc.ChainStreamInterceptor(s.arrivesStream, s.stream),
		grpc.MaxRecvMsgSize(MaxMessage),
		// Callers ping to notice a hung instance.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
	}, opts...)
	g := grpc.NewServer(opts...)
	for _, o := range s.offers {
		g.RegisterService(o.desc, o.impl)
	}
	healthpb.RegisterHealthServer(g, s.health)
	return g
}

// isHealth tells whether a call is about the server itself: a server that closes answers it all the same.
func isHealth(method string) bool { return strings.HasPrefix(method, "/grpc.health.v1.Health/") }

// Leave takes a network server of NewGRPC out of use: it refuses further calls from other processes, which make them
// elsewhere, waits for those that run until ctx ends, and stops it. Until the last is answered it keeps its connections and
// answers pings, saying that it serves no more: callers that still find it in the registry send nothing new, and notice
// when it hangs. Calls within this process go on. An error says that calls were cut off.
func (s *Server) Leave(ctx context.Context, g *grpc.Server) error {
	s.health.Shutdown()
	idle := s.network.shut()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	select {
	case <-idle:
	default:
		g.Stop()
		return fmt.Errorf("drain rpc server %s: calls still ran: %w", s.service, ctx.Err())
	}
	late := context.AfterFunc(ctx, g.Stop) // ends GracefulStop, which waits for callers to close their connections
	defer late()
	g.GracefulStop()
	return nil
}

// Close refuses further calls (503) and waits for those that run, until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	s.health.Shutdown()
	select {
	case <-s.all.shut():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close rpc server %s: calls still run: %w", s.service, ctx.Err())
	}
}

// takes tells whether the server takes calls.
func (s *Server) takes() bool { return s.all.open() }

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	if isHealth(info.FullMethod) {
		return handler(ctx, req)
	}
	if !s.all.enter() {
		return nil, refusal()
	}
	defer s.all.leave()
	start := time.Now()
	ctx, span := serverSpan(incoming(ctx), s.service, info.FullMethod)
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.opts.timeout(info.FullMethod))
		defer cancel()
	}
	defer func() {
		if err = s.finish(ctx, info.FullMethod, start, err, recover()); err != nil {
			resp = nil
		}
		endSpan(span, err)
	}()
	return handler(ctx, req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	if isHealth(info.FullMethod) {
		return handler(srv, ss)
	}
	if !s.all.enter() {
		return refusal()
	}
	defer s.all.leave()
	start := time.Now()
	ctx, span := serverSpan(incoming(ss.Context()), s.service, info.FullMethod)
	defer func() {
		err = s.finish(ctx, info.FullMethod, start, err, recover())
		endSpan(span, err)
	}()
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
