package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hongyan/matrix"
	"hongyan/platform/balance"
)

// directory knows where services are: the one thing in which a process and a cluster differ.
type directory interface {
	// pick returns the connection for a call to the service; KeyOf(ctx) may choose it. Its errors are gRPC statuses.
	pick(ctx context.Context, service string) (grpc.ClientConnInterface, error)
	// all returns one connection to each instance.
	all(service string) []grpc.ClientConnInterface
}

// Conns are the connections to all services. Safe for use by several goroutines.
type Conns struct {
	where   directory
	opts    Options
	metrics rpcMetrics
	// peers counts calls where no cluster does; nil otherwise.
	peers *localPeers
}

// Conn returns the connection to a service, for generated clients. It is there before the service is: each call
// finds its instance when it is made.
func (c *Conns) Conn(service string) grpc.ClientConnInterface {
	conn := c.conn(func(ctx context.Context) (grpc.ClientConnInterface, error) { return c.where.pick(ctx, service) })
	if c.peers != nil {
		conn.peer = c.peers.get(service)
	}
	return conn
}

// Traffic returns what was called of each service of this process. It is empty for the connections of a Cluster, which
// counts by itself.
func (c *Conns) Traffic() map[string]balance.Stats {
	if c.peers == nil {
		return nil
	}
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	all := make(map[string]balance.Stats, len(c.peers.of))
	for service, peer := range c.peers.of {
		all[service] = peer.Stats()
	}
	return all
}

// localPeers are the services of this process, as their callers see them.
type localPeers struct {
	mu sync.Mutex
	of map[string]*balance.Peer
}

func (p *localPeers) get(service string) *balance.Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[service] == nil {
		p.of[service] = balance.NewPeer(1, time.Now)
	}
	return p.of[service]
}

// All returns a connection to each instance of a service that is known now; none is no error.
func (c *Conns) All(service string) []grpc.ClientConnInterface {
	all := c.where.all(service)
	conns := make([]grpc.ClientConnInterface, len(all))
	for i, cc := range all {
		conns[i] = c.conn(func(context.Context) (grpc.ClientConnInterface, error) { return cc, nil })
	}
	return conns
}

// Broadcast calls fn with each instance of a service at once, waits for all and returns their errors joined. It is
// done when every instance has answered: whoever needs a bound sets the context's deadline. Where none is known it is
// unavailable: this process may not have heard of the instances that there are.
func (c *Conns) Broadcast(ctx context.Context, service string, fn func(context.Context, grpc.ClientConnInterface) error) error {
	all := c.All(service)
	if len(all) == 0 {
		return matrix.Unavailable(fmt.Errorf("broadcast to %s: %w", service, errNoInstance(service)))
	}
	errs := make([]error, len(all))
	var group errgroup.Group
	for i, cc := range all {
		group.Go(func() error {
			errs[i] = fn(ctx, cc)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("broadcast to %s: %w", service, err)
	}
	return nil
}

func (c *Conns) conn(pick picker) *conn { return &conn{pick: pick, opts: c.opts, metrics: c.metrics} }

// Local is the directory of one process: the servers in it.
type Local struct {
	mu      sync.RWMutex
	servers map[string][]*Server
}

// NewLocal returns connections to servers in this process, and where to add these. Constructing services in any order
// works: calls find the servers when they are made.
func NewLocal(opts Options) (*Conns, *Local) {
	l := &Local{servers: map[string][]*Server{}}
	return &Conns{
		where: l, opts: opts, metrics: newMetrics(opts.Registerer, "client"),
		peers: &localPeers{of: map[string]*balance.Peer{}},
	}, l
}

// Add makes a server reachable under its name. A test may add several of one name.
func (l *Local) Add(s *Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers[s.service] = append(slices.Clip(l.servers[s.service]), s)
}

// taking returns a server of a service that takes calls, or nil, and whether there is any.
func (l *Local) taking(service string) (server *Server, there bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, s := range l.servers[service] {
		if s.takes() {
			return s, true
		}
	}
	return nil, len(l.servers[service]) > 0
}

func (l *Local) pick(_ context.Context, service string) (grpc.ClientConnInterface, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if servers := l.servers[service]; len(servers) > 0 {
		return &servers[0].channel, nil
	}
	return nil, errNoInstance(service)
}

func (l *Local) all(service string) []grpc.ClientConnInterface {
	l.mu.RLock()
	defer l.mu.RUnlock()
	conns := make([]grpc.ClientConnInterface, 0, len(l.servers[service]))
	for _, s := range l.servers[service] {
		conns = append(conns, &s.channel)
	}
	return conns
}

func errNoInstance(service string) error {
	return status.Error(codes.Unavailable, "no instance of "+service)
}
