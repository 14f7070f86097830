package rpc

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"

	"hongyan/platform/balance"
	"hongyan/platform/registry"
)

// callee is one service as this process calls it: a gRPC connection with our resolver and balancer, which holds one
// transport to each instance.
type callee struct {
	cluster *Cluster
	service string
	cc      *grpc.ClientConn
	budget  *balance.Budget

	mu    sync.RWMutex
	peers map[string]*peer // by boot id: those that the directory lists, and those that left with calls in flight
}

// newCallee makes the connection, through zrpc without any of its interceptors: its deadline of two seconds, its
// breaker a method, and its log of slow calls are not for calls between services, and balancing is ours.
func newCallee(c *Cluster, service string) (*callee, error) {
	s := &callee{cluster: c, service: service, budget: balance.NewBudget(c.opts.Now), peers: map[string]*peer{}}
	options := []zrpc.ClientOption{}
	if c.opts.Credentials != nil {
		options = append(options, zrpc.WithTransportCredentials(c.opts.Credentials))
	}
	for _, o := range append([]grpc.DialOption{
		grpc.WithResolvers(resolvers{s}),
		grpc.WithContextDialer(dial),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // gRPC's own; it still repeats what a server says it has not read
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: .2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
	}, c.opts.DialOptions...) {
		options = append(options, zrpc.WithDialOption(o))
	}
	client, err := zrpc.NewClient(zrpc.RpcClientConf{
		Target: scheme + ":///" + service, NonBlock: true, BalancerName: policyName,
	}, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", service, err)
	}
	s.cc = client.Conn()
	return s, nil
}

// list takes the directory's list over and returns it as addresses. With them come those of instances that have left and
// have calls in flight: while they are connected, pings tell whether they hang, and these calls would wait for nothing.
// leaving tells that list is to be called again soon, for they end.
func (s *callee) list() (addresses []resolver.Address, leaving bool) {
	instances := s.cluster.dir.All(s.service)
	addresses = make([]resolver.Address, 0, len(instances))
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.peers
	s.peers = make(map[string]*peer, len(instances))
	for _, i := range instances {
		if i.GRPC == "" && i.BootID != s.cluster.opts.Self {
			continue
		}
		p := old[i.BootID]
		if p == nil || p.instance.GRPC != i.GRPC || p.instance.Weight != i.Weight || p.instance.Zone != i.Zone {
			s.cluster.metrics.open.DeleteLabelValues(i.Service, i.BootID) // it begins anew
			p = newPeer(s, i)
		}
		p.left.Store(false)
		s.peers[i.BootID] = p
		if i.GRPC != "" {
			addresses = append(addresses, p.address())
		}
	}
	for id, p := range old {
		switch {
		case s.peers[id] != nil:
		case p.instance.GRPC == "", p.left.Swap(true) && p.load.Stats().InFlight == 0:
			p.forget()
		default: // at first in any case: a call may be about to begin
			s.peers[id], leaving = p, true
			addresses = append(addresses, p.address())
		}
	}
	return addresses, leaving
}

// listed tells whether the directory lists an instance that can be called.
func (s *callee) listed(bootID string) bool {
	return slices.ContainsFunc(s.cluster.dir.All(s.service), func(i registry.Instance) bool {
		return i.BootID == bootID && i.GRPC != ""
	})
}

// peer returns what is known of an instance, or nil.
func (s *callee) peer(bootID string) *peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.peers[bootID]
}

func (s *callee) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		p.forget()
	}
}
