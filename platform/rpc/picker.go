package rpc

import (
	"context"
	"slices"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"hongyan/platform/balance"
	"hongyan/platform/registry"
)

// attempt is what one attempt of a call wants and what became of it.
type attempt struct {
	key    string
	keyed  bool
	pinned string // the boot id of the one instance that will do
	ping   bool   // asks one that is down, too
	stream bool
	tried  []string // boot ids of those that are only asked again when nobody else is left

	peer *peer // who took it; nil for nobody
	sent bool  // whether that one may have heard it
	own  bool  // it was this process
}

type attemptKey struct{}

func (a *attempt) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// again forgets who took the last attempt, but not that it did.
func (a *attempt) again() {
	if a.peer != nil {
		a.tried = append(a.tried, a.peer.instance.BootID)
	}
	a.peer, a.sent, a.own = nil, false, false
}

// picked chooses the instance of each call, among transports in the states that they had when it was made. What the
// directory and the peers know is asked at each call.
type picked struct {
	callee *callee
	subs   map[string]sub // by boot id
}

// Pick chooses. gRPC calls it on the caller's goroutine: once an attempt, and again where it had to wait or where the
// transport closed before anything was written.
func (p *picked) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	a, _ := info.Ctx.Value(attemptKey{}).(*attempt)
	if a == nil {
		a = &attempt{}
	}
	a.again()
	s, err := p.choose(a)
	if err != nil {
		return balancer.PickResult{}, err
	}
	a.peer = s.peer
	if a.ping {
		return balancer.PickResult{SubConn: s.conn, Done: func(done balancer.DoneInfo) {
			if done.BytesReceived {
				s.peer.answered()
			}
		}}, nil
	}
	call := s.peer.load.Begin(a.stream)
	return balancer.PickResult{SubConn: s.conn, Done: func(done balancer.DoneInfo) {
		if done.Err == nil && !done.BytesSent { // the transport was gone already: gRPC asks the next picker
			call.End(balance.Ignored)
			a.peer = nil
			return
		}
		a.sent = done.BytesSent
		s.peer.end(info.Ctx, call, done.BytesReceived, done.Err)
	}}, nil
}

func (p *picked) choose(a *attempt) (sub, error) {
	if a.pinned != "" {
		return p.only(a)
	}
	if a.keyed {
		if owner, ok := p.callee.cluster.dir.OwnerOf(p.callee.service, a.key); ok && !slices.Contains(a.tried, owner.BootID) {
			s := p.subs[owner.BootID]
			switch {
			case s.conn == nil && owner.GRPC != "":
				return sub{}, balancer.ErrNoSubConnAvailable // the list of transports is about to follow
			case s.conn == nil:
			case s.state == connectivity.TransientFailure, !s.peer.load.Passes():
			default:
				return ready(s)
			}
		}
	}
	return p.any(a)
}

// only returns the transport to the instance that the attempt is for.
func (p *picked) only(a *attempt) (sub, error) {
	s := p.subs[a.pinned]
	switch {
	case s.conn == nil && p.callee.listed(a.pinned):
		return sub{}, balancer.ErrNoSubConnAvailable // the list of transports is about to follow
	case s.conn == nil:
		return sub{}, errNone(p.callee.service, nil)
	case s.state == connectivity.TransientFailure,
		s.state != connectivity.Ready && !a.ping && p.callee.cluster.dir.IsDown(s.peer.instance, registry.PortGRPC):
		return sub{}, errNone(p.callee.service, s.err)
	}
	return ready(s)
}

// ready returns the transport when it is connected, and otherwise makes the call wait until it is, or cannot be.
func ready(s sub) (sub, error) {
	if s.state == connectivity.Ready {
		return s, nil
	}
	s.conn.Connect()
	return sub{}, balancer.ErrNoSubConnAvailable
}

// any returns one of the transports that the attempt may take: a connected one, of this zone if there is one, whose
// breaker lets calls pass if there is one, and of these the better of two.
func (p *picked) any(a *attempt) (sub, error) {
	all, waiting, err := p.candidates(a.tried)
	if len(all) == 0 && !waiting && len(a.tried) > 0 {
		all, waiting, err = p.candidates(nil)
	}
	if len(all) == 0 {
		if waiting {
			return sub{}, balancer.ErrNoSubConnAvailable
		}
		return sub{}, errNone(p.callee.service, err)
	}
	opts := &p.callee.cluster.opts
	all = preferred(all, func(s sub) bool { return s.peer.load.Passes() })
	if opts.Zone != "" {
		all = preferred(all, func(s sub) bool { return s.peer.instance.Zone == opts.Zone })
	}
	if len(all) == 1 {
		return all[0], nil
	}
	loads := make([]*balance.Peer, len(all))
	for i, s := range all {
		loads[i] = s.peer.load
	}
	best := balance.P2C(loads, opts.Random)
	return all[slices.Index(loads, best)], nil
}

// candidates returns the connected transports to all but some; if there are none, whether waiting may help, and why not.
func (p *picked) candidates(without []string) (all []sub, waiting bool, err error) {
	for _, i := range p.callee.cluster.dir.Instances(p.callee.service) {
		if slices.Contains(without, i.BootID) || i.GRPC == "" {
			continue
		}
		s := p.subs[i.BootID]
		switch {
		case s.conn == nil:
			waiting = true
		case s.state == connectivity.Ready:
			all = append(all, s)
		case s.state == connectivity.TransientFailure:
			err = s.err
		default:
			s.conn.Connect()
			waiting = true
		}
	}
	return all, waiting, err
}

// preferred returns those that have something, or all if none has.
func preferred(all []sub, has func(sub) bool) []sub {
	n := slices.IndexFunc(all, func(s sub) bool { return !has(s) })
	if n < 0 {
		return all
	}
	some := slices.DeleteFunc(slices.Clone(all), func(s sub) bool { return !has(s) })
	if len(some) == 0 {
		return all
	}
	return some
}

// owns tells whether this process owns the attempt's key.
func (s *callee) owns(a *attempt) bool {
	owner, ok := s.cluster.dir.OwnerOf(s.service, a.key)
	return !ok && s.alone() || ok && owner.BootID == s.cluster.opts.Self
}

// alone tells whether the directory knows no instance that takes calls.
func (s *callee) alone() bool { return len(s.cluster.dir.Instances(s.service)) == 0 }
