package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"hongyan/platform/probe"
	"hongyan/platform/registry"
)

// ClusterOptions say how a process calls others. Self is needed.
type ClusterOptions struct {
	Options
	// Self is this process's boot id: calls to its own instances stay in process.
	Self string
	// Zone is where this process runs; instances of the same zone are preferred. Empty prefers none.
	Zone string
	// Credentials secure the connections; nil is plain text. Servers are verified under the name of their service
	// ("room") unless the credentials override it.
	Credentials credentials.TransportCredentials
	// DialOptions come after the cluster's own.
	DialOptions []grpc.DialOption
	// Now is the clock of latencies, breakers and budgets; nil is time.Now.
	Now func() time.Time
	// Random returns a number below n; nil is math/rand's.
	Random func(n int) int
}

// Cluster is how one process calls services in many. It holds one connection to each instance of each service that was
// called, and follows the directory. Safe for use by several goroutines.
type Cluster struct {
	dir     *registry.Directory
	opts    ClusterOptions
	local   *Local
	conns   *Conns
	prober  *probe.Prober
	metrics clusterMetrics
	young   time.Time // until then services may still be on their way into the directory

	mu      sync.RWMutex
	callees map[string]*callee
	closed  bool
}

// startup is how long a service that has never been seen may be on its way.
const startup = 10 * time.Second

// NewCluster returns the calls of a process to the services in a directory. It connects when services are called. Run
// pings; whoever runs the directory is somebody else.
func NewCluster(dir *registry.Directory, opts ClusterOptions) (*Cluster, error) {
	if dir == nil || opts.Self == "" {
		return nil, errors.New("new cluster: a directory and a boot id are needed")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Random == nil {
		opts.Random = rand.IntN
	}
	c := &Cluster{
		dir: dir, opts: opts, local: &Local{servers: map[string][]*Server{}}, callees: map[string]*callee{},
		metrics: newClusterMetrics(opts.Registerer), young: opts.Now().Add(startup),
	}
	c.conns = &Conns{where: c, opts: opts.Options, metrics: newMetrics(opts.Registerer, "client")}
	var err error
	c.prober, err = probe.New(probe.Config{
		Directory: dir, Self: opts.Self, Check: c.ping, Heard: c.heard, Down: c.cut, Busy: c.busy,
		Registerer: opts.Registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("new cluster: %w", err)
	}
	return c, nil
}

// Conns are the connections to all services.
func (c *Cluster) Conns() *Conns { return c.conns }

// Local is where this process adds its own servers.
func (c *Cluster) Local() *Local { return c.local }

// Prober pings the instances of services that were called. Whoever reaches instances in other ways lets it follow more.
func (c *Cluster) Prober() *probe.Prober { return c.prober }

// Run pings until ctx ends.
func (c *Cluster) Run(ctx context.Context) error { return c.prober.Run(ctx) }

// Close closes all connections. Calls that run fail, and so do further ones.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.closed = true
	callees := c.callees
	c.callees = nil
	c.mu.Unlock()
	var errs []error
	for _, s := range callees {
		errs = append(errs, s.cc.Close())
		s.forget()
	}
	return errors.Join(errs...)
}

// pick returns the connection to a service. The instance is chosen for each attempt of a call.
func (c *Cluster) pick(_ context.Context, service string) (grpc.ClientConnInterface, error) {
	return c.callee(service)
}

// all returns a connection to each instance of the directory, whatever its state: one that starts or drains may know
// something, and one that is down must fail rather than be left out.
func (c *Cluster) all(service string) []grpc.ClientConnInterface {
	s, err := c.callee(service)
	if err != nil {
		return nil
	}
	instances := c.dir.All(service)
	own := c.local.all(service)
	conns := make([]grpc.ClientConnInterface, 0, len(instances)+1)
	conns = append(conns, own...)
	for _, i := range instances {
		if i.GRPC != "" && (i.BootID != c.opts.Self || len(own) == 0) {
			conns = append(conns, pinned{callee: s, bootID: i.BootID})
		}
	}
	return conns
}

// callee returns what is known of a service, connected when it is first asked for.
func (c *Cluster) callee(service string) (*callee, error) {
	if s := c.known(service); s != nil {
		return s, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, status.Error(codes.Unavailable, "the connections are closed")
	}
	if s := c.callees[service]; s != nil {
		return s, nil
	}
	s, err := newCallee(c, service)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	c.callees[service] = s
	c.prober.Follow(service)
	return s, nil
}

// known returns what is known of a service that was called before.
func (c *Cluster) known(service string) *callee {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.callees[service]
}
