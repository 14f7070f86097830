package rpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxAttempts bounds how many instances one call goes to.
	maxAttempts = 5
	// patience is how long a call waits for a service none of whose instances takes calls.
	patience = time.Second
)

var _ grpc.ClientConnInterface = (*callee)(nil)

// Invoke makes a unary call, on another instance again where that is safe, within the context's deadline.
func (s *callee) Invoke(ctx context.Context, method string, req, resp any, opts ...grpc.CallOption) error {
	s.budget.Call()
	a := s.attempt(ctx)
	var last error
	for range maxAttempts {
		err := s.once(ctx, a, method, req, resp, opts)
		if err == nil {
			return nil
		}
		if a.peer == nil && !a.own && last != nil {
			return last // nobody was left to ask: what the one before said is the reason
		}
		if !s.repeat(ctx, a, method, err) {
			return err
		}
		last = err
	}
	return last
}

// NewStream opens a stream. Once open it is not repeated: whoever reads a stream knows where to go on.
func (s *callee) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	a := s.attempt(ctx)
	a.stream = true
	var last error
	for range maxAttempts {
		if server := s.own(a); server != nil {
			return server.channel.NewStream(ctx, desc, method, opts...)
		}
		if err := s.await(ctx); err != nil {
			return nil, err
		}
		stream, err := s.cc.NewStream(a.in(ctx), desc, method, opts...)
		if err == nil {
			return stream, nil
		}
		if a.peer == nil || a.sent || ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
	return nil, last
}

func (s *callee) attempt(ctx context.Context) *attempt {
	a := &attempt{}
	a.key, a.keyed = KeyOf(ctx)
	return a
}

// once makes one attempt: in process where this process is to answer, or else over the network.
func (s *callee) once(ctx context.Context, a *attempt, method string, req, resp any, opts []grpc.CallOption) error {
	server := s.own(a)
	if server == nil {
		if err := s.await(ctx); err != nil {
			return err
		}
		return s.cc.Invoke(a.in(ctx), method, req, resp, opts...)
	}
	a.again()
	a.tried, a.own, a.sent = append(a.tried, s.cluster.opts.Self), true, true
	p := s.peer(s.cluster.opts.Self)
	if p == nil {
		return server.channel.Invoke(ctx, method, req, resp, opts...)
	}
	a.peer = p
	call := p.load.Begin(false)
	err := server.channel.Invoke(ctx, method, req, resp, opts...)
	p.end(ctx, call, true, err)
	return err
}

// own returns the server in this process that an attempt goes to, or nil.
func (s *callee) own(a *attempt) *Server {
	if slices.Contains(a.tried, s.cluster.opts.Self) {
		return nil
	}
	server, there := s.cluster.local.taking(s.service)
	if there && server == nil {
		a.tried = append(a.tried, s.cluster.opts.Self) // it would say the same over the network
	}
	if server == nil || a.keyed && !s.owns(a) {
		return nil
	}
	return server
}

// repeat tells whether an attempt that failed may be made again.
func (s *callee) repeat(ctx context.Context, a *attempt, method string, err error) bool {
	m := &s.cluster.metrics
	switch {
	case ctx.Err() != nil, a.peer == nil && !a.own, !s.others(a):
		return false
	case isRefusal(err), !a.sent && status.Code(err) == codes.Unavailable:
		m.retries.WithLabelValues(s.service, "unheard").Inc()
		return true
	case status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled:
		return false
	case s.cluster.opts.Idempotent == nil || !s.cluster.opts.Idempotent(method):
		return false
	case !s.budget.Retry():
		m.exhausted.WithLabelValues(s.service).Inc()
		return false
	}
	m.retries.WithLabelValues(s.service, "idempotent").Inc()
	return true
}

// others tells whether there is an instance that an attempt has not been made on.
func (s *callee) others(a *attempt) bool {
	for _, i := range s.cluster.dir.Instances(s.service) {
		if !slices.Contains(a.tried, i.BootID) && (a.peer == nil || a.peer.instance.BootID != i.BootID) {
			return true
		}
	}
	return false
}

// await waits, for up to a second, for a service to have an instance that takes calls. A service that was never seen
// fails at once, unless this process has just started and may not have heard of it yet.
func (s *callee) await(ctx context.Context) error {
	dir := s.cluster.dir
	changed := dir.Changed()
	if !s.alone() {
		return nil
	}
	if len(dir.All(s.service)) == 0 && s.cluster.opts.Now().After(s.cluster.young) {
		return errNoInstance(s.service)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for s.alone() {
		select {
		case <-changed:
			changed = dir.Changed()
		case <-timer.C:
			return errNoInstance(s.service)
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return nil
}

// pinned is the connection to one instance and no other.
type pinned struct {
	callee *callee
	bootID string
}

// Invoke makes a unary call.
func (p pinned) Invoke(ctx context.Context, method string, req, resp any, opts ...grpc.CallOption) error {
	return p.callee.cc.Invoke((&attempt{pinned: p.bootID}).in(ctx), method, req, resp, opts...)
}

// NewStream opens a stream.
func (p pinned) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return p.callee.cc.NewStream((&attempt{pinned: p.bootID, stream: true}).in(ctx), desc, method, opts...)
}
