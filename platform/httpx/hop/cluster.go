package hop

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/registry"
)

// Options of a cluster. The zero value is right for plain HTTP/2.
type Options struct {
	// TLS is what to present and whom to trust (mutual TLS); nil sends in the clear.
	TLS *tls.Config
	// Zone is this process's; instances there come first where any instance will do.
	Zone string
	// Self is this process's boot id and Local the handler of a service that runs in it (nil for one that does not): an
	// instance of this process is called without the network. Both may be missing.
	Self  string
	Local func(service string) http.Handler
	// MaxBody is how many bytes of a request's body are kept to repeat it; 0 is 1 MiB. MaxBodies is how many are kept
	// for all requests together; 0 is 256 MiB. What exceeds either is sent once.
	MaxBody, MaxBodies int64
	// Wait is how long a request waits for an instance to appear when none is usable; 0 is 1 s. MaxWaiting is how
	// many requests wait at once; 0 is 10,000.
	Wait       time.Duration
	MaxWaiting int
	// SilenceTimeout is after how much silence a connection is asked whether it lives, and how long the answer may take;
	// 0 is 1 s, which exposes a hung instance in 2 s. Where connections cannot be asked (HTTP/1.1), the instance is, so often,
	// while requests wait for it.
	SilenceTimeout time.Duration
	// Repeats is how many repeats may come at once; 0 is 10,000. They fill up with a fifth of the requests and 200 a second.
	Repeats int
	// Now is the clock; nil is time.Now. IntN returns a random number below n; nil is math/rand/v2's.
	Now  func() time.Time
	IntN func(n int) int
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

func (o *Options) setDefaults() {
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.MaxBodies == 0 {
		o.MaxBodies = 256 << 20
	}
	if o.Wait == 0 {
		o.Wait = time.Second
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 10_000
	}
	if o.SilenceTimeout == 0 {
		o.SilenceTimeout = time.Second
	}
	if o.Repeats == 0 {
		o.Repeats = 10_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.IntN == nil {
		o.IntN = rand.IntN
	}
}

// Cluster reaches services through the registry. It works without Run, which asks failed instances whether they are back
// and closes the connections to those that left. Safe for use by several goroutines.
type Cluster struct {
	dir       *registry.Directory
	options   Options
	peers     *peers
	metrics   *metrics
	bodies    *memory
	repeats   *budget
	waiting   chan struct{}
	transport transports

	mu       sync.Mutex
	pools    map[string]*pool // by Instance.Key and address
	closed   bool
	suspects chan registry.Instance
	running  sync.WaitGroup // bodies and pools that are being closed
}

// NewCluster returns a cluster over a directory that somebody else runs.
func NewCluster(dir *registry.Directory, options Options) *Cluster {
	options.setDefaults()
	return &Cluster{
		dir: dir, options: options,
		peers:     &peers{zone: options.Zone, now: options.Now, intN: options.IntN, known: map[string]*peer{}},
		metrics:   newMetrics(options.Metrics),
		bodies:    &memory{limit: options.MaxBodies},
		repeats:   newBudget(options.Repeats, options.Now),
		waiting:   make(chan struct{}, options.MaxWaiting),
		transport: newTransports(options),
		pools:     map[string]*pool{},
		suspects:  make(chan registry.Instance, 64),
	}
}

// Upstream returns the transport that reaches a service's instances. What it cannot send fails with an error; the
// answer of a service is never an error, whatever its status.
func (c *Cluster) Upstream(service string) http.RoundTripper {
	return c.UpstreamOf(service, nil)
}

// UpstreamOf is Upstream to those instances only that serves names, which is asked for each request; nil names all.
func (c *Cluster) UpstreamOf(service string, serves func(registry.Instance) bool) http.RoundTripper {
	return &upstream{cluster: c, service: service, serves: serves}
}

// Traffic returns what was sent to each instance and how it went, of all services.
func (c *Cluster) Traffic() []Traffic { return c.peers.traffic(c.dir) }

// Waiting is how many requests wait for an instance to appear.
func (c *Cluster) Waiting() int { return len(c.waiting) }

// upstream is one service of a cluster.
type upstream struct {
	cluster *Cluster
	service string
	serves  func(registry.Instance) bool // nil for all
}

// Close closes all connections. Requests under way fail.
func (c *Cluster) Close() {
	c.mu.Lock()
	c.closed = true
	pools := c.pools
	c.pools = map[string]*pool{}
	c.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
	c.running.Wait()
}

// pool returns the connections to an instance; nil after Close.
func (c *Cluster) pool(i registry.Instance) *pool {
	key := c.poolKey(i)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	p := c.pools[key]
	if p == nil {
		p = newPool(c.transport.kindOf(i), i, c.options.Now, func() { c.suspect(i) })
		c.pools[key] = p
	}
	return p
}

// poolKey tells pools apart: by instance, and by how and where it is reached.
func (c *Cluster) poolKey(i registry.Instance) string {
	if c.transport.kindOf(i).exclusive {
		return i.Key() + " 1.1 " + i.HTTP
	}
	return i.Key() + " " + i.HTTP
}

// Run probes instances that failed until they answer, and closes the connections to instances that left, until ctx ends.
// It then closes all connections.
func (c *Cluster) Run(ctx context.Context) error {
	defer c.Close()
	return c.watch(ctx)
}
