package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	nodepb "hongyan/api/node"
	"hongyan/platform/bus"
	busmemory "hongyan/platform/bus/memory"
	"hongyan/platform/obs"
	"hongyan/platform/registry"
	registrymemory "hongyan/platform/registry/memory"
	"hongyan/platform/rpc"
)

// Deps are what a cluster stands on.
type Deps struct {
	// BootID tells this process from all others and from its own earlier lives. Version is the program's.
	BootID, Version string
	// Shards and ShardOf divide keys among the instances of a service, as the logs do.
	Shards  int
	ShardOf func(key string, shards int) int
	// RPC are the options of calls between services.
	RPC rpc.Options
	// Edge is the service that clients reach: its HTTP address is theirs, and no process sends requests to it.
	Edge string
	// Admin is where monitoring reads this process's metrics, once that is known; nil for nowhere.
	Admin func() net.Addr
	// Clock is the time. Metrics registers the metrics; nil for none.
	Clock   func() time.Time
	Metrics prometheus.Registerer
}

// Member is a service of this process.
type Member struct {
	// Name is the service's.
	Name string
	// RPC is what it offers to other services.
	RPC *rpc.Server
	// Handler serves its routes; nil where it has none.
	Handler http.Handler
	// Public is where clients reach it, once that is known; nil for all but the gateway.
	Public func() net.Addr
	// Ready is closed when it takes requests; nil where that is at once.
	Ready <-chan struct{}
	// Awaits are the services without which it is of little use: until each was there once it is registered as starting. Those
	// of this process count as there.
	Awaits []string
	// Traffic is what it has taken and sent that the cluster does not see; nil for nothing.
	Traffic func() []*nodepb.Traffic
}

// network is how services are reached: the one thing in which a process that is alone differs from one of many.
type network interface {
	conns() *rpc.Conns
	// upstream reaches those instances of a service that serves names; nil is all.
	upstream(service string, serves func(registry.Instance) bool) (http.RoundTripper, error)
	// add makes a member of this process reachable, and listen opens its ports where it has some.
	add(m Member) error
	listen(ctx context.Context) error
	// address fills in where a member is reached.
	address(name string, instance *registry.Instance)
	// admit lets requests to a member in that comes from other processes.
	admit(name string)
	// traffic is what was sent to each instance, lastSeen when one last answered; zero for never.
	traffic() []*nodepb.Traffic
	lastSeen(i registry.Instance) time.Time
	// run works until ctx ends; serve serves the ports until ctx ends and then drains until drain ends.
	run(ctx context.Context) error
	serve(ctx, drain context.Context) error
	close() error
}

// Cluster is what a process has of the others. See the package comment.
type Cluster struct {
	cfg       Config
	deps      Deps
	registry  registry.Registry
	directory *registry.Directory
	bus       bus.Bus
	network   network
	members   []Member
	// started is when the process did.
	started time.Time
	// records are what was registered.
	records []registry.Instance
	// awaited are the services that a member awaits and that were never there.
	awaited atomic.Pointer[[]string]
}

// Open connects to what cfg names, none of which need be there yet. Close gives everything back.
func Open(ctx context.Context, cfg Config, deps Deps) (*Cluster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c := &Cluster{cfg: cfg, deps: deps, started: deps.Clock()}
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: %w", err), c.Close())
	}
	return c, nil
}

// open is the choice between a process that is alone and one of many.
func (c *Cluster) open(ctx context.Context) (err error) {
	credentials, err := NewTLS(c.cfg)
	if err != nil {
		return err
	}
	if !c.cfg.Shared() {
		c.registry, c.bus = registrymemory.New(), busmemory.New(0)
	} else {
		if c.registry, err = openRegistry(ctx, c.cfg, credentials); err != nil {
			return err
		}
		if credentials == nil {
			c.registry = newNear(c.registry, c.deps.Edge)
		}
		if c.bus, err = openBus(c.cfg, credentials); err != nil {
			return err
		}
	}
	c.bus = bus.Measure(c.bus, c.deps.Metrics)
	c.directory, err = registry.NewDirectory(c.registry, registry.DirectoryConfig{
		Shards: c.deps.Shards, ShardOf: c.deps.ShardOf, Now: c.deps.Clock,
	})
	if err != nil {
		return err
	}
	obs.RegisterLatest(c.deps.Metrics, c.directory.Collector())
	if !c.cfg.Shared() {
		c.network = newAlone(c.deps.RPC)
		return nil
	}
	c.network, err = newRemote(c.cfg, c.deps, c.directory, credentials)
	return err
}

// Bus carries wake-ups to all processes.
func (c *Cluster) Bus() bus.Bus { return c.bus }

// Directory is this process's copy of the registry.
func (c *Cluster) Directory() *registry.Directory { return c.directory }

// Conns are the connections to all services.
func (c *Cluster) Conns() *rpc.Conns { return c.network.conns() }

// Upstream is how the gateway reaches a service.
func (c *Cluster) Upstream(service string) (http.RoundTripper, error) {
	return c.upstream(service, nil)
}

func (c *Cluster) upstream(service string, serves func(registry.Instance) bool) (http.RoundTripper, error) {
	rt, err := c.network.upstream(service, serves)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", service, err)
	}
	return rt, nil
}

// Add takes in a service of this process. All are added before Listen.
func (c *Cluster) Add(m Member) error {
	c.members = append(c.members, m)
	nodepb.RegisterNodeServer(m.RPC, nodeServer{cluster: c})
	if err := c.network.add(m); err != nil {
		return fmt.Errorf("add %s: %w", m.Name, err)
	}
	return nil
}

// Listen opens the ports at which other processes reach the services of this one; Serve serves them.
func (c *Cluster) Listen(ctx context.Context) error {
	if err := c.network.listen(ctx); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// Run keeps the copy of the registry and the connections, until ctx ends.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- c.directory.Run(ctx)
	}()
	err := c.network.run(ctx)
	cancel()
	return errors.Join(err, <-done)
}

// Serve serves the ports until ctx ends. What comes then is refused, so that its sender takes another instance; what was
// taken is answered until drain ends.
func (c *Cluster) Serve(ctx, drain context.Context) error { return c.network.serve(ctx, drain) }

// Close ends the lease and closes all connections.
func (c *Cluster) Close() error {
	var errs []error
	if c.network != nil {
		errs = append(errs, c.network.close())
	}
	if c.registry != nil {
		errs = append(errs, c.registry.Close())
	}
	if c.bus != nil {
		errs = append(errs, c.bus.Close())
	}
	return errors.Join(errs...)
}
