package rpc

import (
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

// policyName is the balancer's. gRPC finds balancers by name in one table of the program that has no lock, so
// registering must have ended when the first connection is made: while the program initialises its variables. What is
// registered holds nothing; each balancer gets its callee from its resolver.
var policyName = register(policies{})

func register(b balancer.Builder) string {
	balancer.Register(b)
	return b.Name()
}

// policies makes balancers.
type policies struct{}

// Name is what service configurations call it.
func (policies) Name() string { return "hongyan" }

// Build returns the balancer of one connection.
func (policies) Build(cc balancer.ClientConn, _ balancer.BuildOptions) balancer.Balancer {
	return &policy{cc: cc, subs: map[*peer]*sub{}}
}

// policy keeps a transport to each instance and gives calls a picker that knows their states. gRPC calls its methods one
// after the other.
type policy struct {
	cc     balancer.ClientConn
	callee *callee
	subs   map[*peer]*sub
}

// sub is the transport to one instance.
type sub struct {
	peer  *peer
	conn  balancer.SubConn
	state connectivity.State
	err   error // why it cannot connect
}

// UpdateClientConnState takes a list of instances over.
func (b *policy) UpdateClientConnState(state balancer.ClientConnState) error {
	b.callee, _ = state.ResolverState.Attributes.Value(calleeKey{}).(*callee)
	if b.callee == nil {
		return balancer.ErrBadResolverState
	}
	listed := make(map[*peer]bool, len(state.ResolverState.Addresses))
	for _, a := range state.ResolverState.Addresses {
		if p := peerOf(a.Attributes); p != nil {
			listed[p] = true
			b.add(p, a)
		}
	}
	for p, s := range b.subs {
		if !listed[p] {
			delete(b.subs, p)
			s.conn.Shutdown() // when its calls have ended
		}
	}
	b.publish()
	return nil
}

func (b *policy) add(p *peer, a resolver.Address) {
	if b.subs[p] != nil {
		return
	}
	s := &sub{peer: p, state: connectivity.Idle}
	//nolint:staticcheck // what is deprecated is to give it several addresses
	conn, err := b.cc.NewSubConn([]resolver.Address{a}, balancer.NewSubConnOptions{
		StateListener: func(state balancer.SubConnState) { b.changed(s, state) },
	})
	if err != nil {
		return // the connection closes
	}
	s.conn = conn
	b.subs[p] = s
	b.connect(s)
}

// connect connects to all but those that have left, and this process itself, which is called over the network only when it
// is not in process.
func (b *policy) connect(s *sub) {
	if s.peer.instance.BootID != b.callee.cluster.opts.Self && !s.peer.left.Load() {
		s.conn.Connect()
	}
}

// changed takes over the state of a transport.
func (b *policy) changed(s *sub, state balancer.SubConnState) {
	if b.subs[s.peer] != s {
		return
	}
	failing := s.state == connectivity.TransientFailure
	switch state.ConnectivityState {
	case connectivity.Idle: // it was closed, or waited long enough after a failure
		b.connect(s)
		if failing {
			return // calls do not wait for whom the last attempt did not reach
		}
	case connectivity.Connecting:
		if failing {
			return
		}
	case connectivity.TransientFailure:
		b.callee.cluster.dir.Avoid(s.peer.instance)
	case connectivity.Ready, connectivity.Shutdown:
	}
	s.state, s.err = state.ConnectivityState, state.ConnectionError
	b.publish()
}

// publish gives gRPC a picker for the states as they are now.
func (b *policy) publish() {
	p := &picked{callee: b.callee, subs: make(map[string]sub, len(b.subs))}
	states := map[connectivity.State]bool{}
	for _, s := range b.subs {
		p.subs[s.peer.instance.BootID] = *s
		states[s.state] = true
	}
	state := connectivity.TransientFailure
	for _, better := range []connectivity.State{connectivity.Idle, connectivity.Connecting, connectivity.Ready} {
		if states[better] {
			state = better
		}
	}
	b.cc.UpdateState(balancer.State{ConnectivityState: state, Picker: p})
}

// ResolverError cannot happen: the resolver knows no errors.
func (b *policy) ResolverError(error) {}

// UpdateSubConnState is not called: each transport has its listener.
func (b *policy) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// ExitIdle connects to whom it is not connected.
func (b *policy) ExitIdle() {
	for _, s := range b.subs {
		if s.state == connectivity.Idle {
			b.connect(s)
		}
	}
}

// Close ends the balancer.
func (b *policy) Close() {
	for _, s := range b.subs {
		s.conn.Shutdown()
	}
	b.subs = map[*peer]*sub{}
}

// errNone is what an attempt fails with that no instance is left for.
func errNone(service string, cause error) error {
	if cause != nil {
		return status.Errorf(codes.Unavailable, "no instance of %s can be reached: %v", service, cause)
	}
	return errNoInstance(service)
}
