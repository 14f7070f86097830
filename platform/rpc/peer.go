package rpc

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"hongyan/platform/balance"
	"hongyan/platform/registry"
)

// peer is one instance of a service as this process calls it.
type peer struct {
	callee     *callee
	instance   registry.Instance
	load       *balance.Peer
	heard      atomic.Int64 // when it last answered, in nanoseconds of Unix time
	open       atomic.Bool  // the breaker, for the metric
	left       atomic.Bool  // the directory lists it no more
	ok, failed prometheus.Counter

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func newPeer(s *callee, i registry.Instance) *peer {
	calls := s.cluster.metrics.calls
	return &peer{
		callee: s, instance: i, load: balance.NewPeer(i.Weight, s.cluster.opts.Now), conns: map[net.Conn]struct{}{},
		ok:     calls.WithLabelValues(i.Service, i.BootID, "ok"),
		failed: calls.WithLabelValues(i.Service, i.BootID, "failed"),
	}
}

// forget drops the series of an instance that is gone.
func (p *peer) forget() {
	labels := prometheus.Labels{"service": p.instance.Service, "instance": p.instance.BootID}
	p.callee.cluster.metrics.calls.DeletePartialMatch(labels)
	p.callee.cluster.metrics.open.DeletePartialMatch(labels)
}

type peerKey struct{}

// address is the peer as gRPC's resolvers give it to balancers.
func (p *peer) address() resolver.Address {
	return resolver.Address{Addr: p.instance.GRPC, Attributes: attributes.New(peerKey{}, p)}
}

func peerOf(a *attributes.Attributes) *peer {
	p, _ := a.Value(peerKey{}).(*peer)
	return p
}

// dial connects to an address of a peer and remembers the connection with the peer: gRPC can only close transports when
// their calls have ended, and those of a hung instance do not end.
func dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	p := peerOf(credentials.ClientHandshakeInfoFromContext(ctx).Attributes)
	if p == nil {
		return nc, nil
	}
	c := &peerConn{Conn: nc, peer: p}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return c, nil
}

// peerConn is a connection that its peer knows of.
type peerConn struct {
	net.Conn
	peer *peer
}

// Close closes the connection.
func (c *peerConn) Close() error {
	c.peer.mu.Lock()
	delete(c.peer.conns, c)
	c.peer.mu.Unlock()
	return c.Conn.Close()
}

// cut closes the peer's connections: calls that wait for it fail at once.
func (p *peer) cut() {
	p.mu.Lock()
	conns := make([]net.Conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// answered notes a sign of life.
func (p *peer) answered() { p.heard.Store(p.callee.cluster.opts.Now().UnixNano()) }

// end takes the result of a call that began with call.
func (p *peer) end(ctx context.Context, call balance.Call, heard bool, err error) {
	c := p.callee.cluster
	if heard {
		p.answered()
	}
	outcome := outcomeOf(ctx, call, err)
	if isRefusal(err) {
		c.dir.Avoid(p.instance)
	}
	switch outcome {
	case balance.Answered:
		p.ok.Inc()
	case balance.Failed:
		p.failed.Inc()
	case balance.Ignored:
	}
	if call.End(outcome) {
		p.open.Store(true)
		c.dir.Avoid(p.instance) // so that all of this process find the same new owner for its keys
		c.metrics.opened.WithLabelValues(p.instance.Service).Inc()
		if p.callee.peer(p.instance.BootID) == p { // or else it has left, and its series with it
			c.metrics.open.WithLabelValues(p.instance.Service, p.instance.BootID).Set(1)
		}
	} else if p.open.Load() && !p.load.Stats().Open && p.open.CompareAndSwap(true, false) {
		c.metrics.open.DeleteLabelValues(p.instance.Service, p.instance.BootID)
	}
}

// outcomeOf tells what a call says about who took it.
func outcomeOf(ctx context.Context, call balance.Call, err error) balance.Outcome {
	switch status.Code(err) {
	case codes.Unavailable:
		if isRefusal(err) {
			return balance.Ignored
		}
		return balance.Failed
	case codes.DeadlineExceeded:
		if call.Since() < balance.Slow {
			return balance.Ignored
		}
		return balance.Failed
	case codes.Internal:
		return balance.Failed
	case codes.Canceled:
		if ctx.Err() != nil {
			return balance.Ignored
		}
		return balance.Failed
	}
	return balance.Answered
}
