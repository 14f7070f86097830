package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"hongyan/test/freeport"
	"hongyan/test/haproxytest"
	"hongyan/test/pgtest"
	"hongyan/test/zktest"
)

// spareGateways are places that the balancer knows and where no gateway runs yet.
const spareGateways = 2

// Cluster is a running topology.
type Cluster struct {
	Topology
	// URL is where clients connect.
	URL string
	// Nodes are the processes of `hongyan serve`.
	Nodes []*Node
	// Postgres, Registry, Bus and Network are nil where the topology has none.
	Postgres *pgtest.Server
	Registry Registry
	Bus      *Process
	Network  *Network

	t        testing.TB
	binary   string
	database string
	busAddr  string
	spare    []string
	// media is the folder that all media instances share.
	media string
}

// StartCluster starts everything, in no order, and waits until all of it is ready. The test's end stops it.
func StartCluster(t testing.TB, topology Topology) *Cluster {
	t.Helper()
	binary, err := build()
	require.NoError(t, err)
	c := &Cluster{Topology: topology, t: t, binary: binary, media: t.TempDir()}
	if topology.Hosts {
		c.Network = NewNetwork(t)
	}
	if topology.Postgres {
		c.startPostgres()
	}
	switch topology.Registry {
	case RegistryEtcd:
		c.Registry = startEtcd(t)
	case RegistryZooKeeper:
		c.Registry = zktest.New(t)
	}
	if c.Registry != nil {
		c.Bus, c.busAddr = startBus(t)
	}
	for _, g := range topology.Groups {
		for i := range g.Count {
			c.Nodes = append(c.Nodes, c.node(nodeOptions{targets: g.Targets, number: i + 1, remote: i >= g.Count-g.Remote}))
		}
	}
	c.startEdge()
	require.NoError(t, c.Up(t.Context(), c.Nodes...))
	return c
}

func (c *Cluster) startPostgres() {
	var hosts []string
	if c.Network != nil {
		hosts = append(hosts, c.Network.Here)
	}
	c.Postgres = pgtest.StartServer(c.t, hosts...)
	c.database = c.Postgres.Database()
}

// startEdge says where clients connect.
func (c *Cluster) startEdge() {
	var gateways []string
	for _, n := range c.Nodes {
		if n.Runs("gateway") {
			gateways = append(gateways, n.Listen)
		}
	}
	c.URL = "http://" + gateways[0]
	if c.Balanced {
		for range spareGateways {
			c.spare = append(c.spare, freeAddress(c.t))
		}
		c.URL = haproxytest.Start(c.t, haproxytest.Config{Servers: append(gateways, c.spare...)}).URL
	}
}

// Up starts nodes, all at once, and waits until they are ready.
func (c *Cluster) Up(ctx context.Context, nodes ...*Node) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		g.Go(func() error { return n.Up(ctx) })
	}
	return g.Wait()
}

// Running are the nodes that run a service now.
func (c *Cluster) Running(service string) []*Node {
	return slices.DeleteFunc(slices.Clone(c.Nodes), func(n *Node) bool { return !n.Runs(service) || !n.Running() })
}

// Alone tells whether a node is the only one of a service: nobody can take its place.
func (c *Cluster) Alone(n *Node) bool {
	return slices.ContainsFunc(Services(), func(s string) bool { return n.Runs(s) && len(c.Running(s)) < 2 })
}

// Extra returns a further node that does not run yet. With gateway among the targets it takes a place that the balancer
// knows; there are two. prefix, where not empty, is another place in the registry: the node and those in its place do not
// know of the others, nor the others of them.
func (c *Cluster) Extra(prefix string, targets ...string) *Node {
	n := c.node(nodeOptions{targets: targets, number: len(c.Nodes) + 1, prefix: prefix, extra: true})
	c.Nodes = append(c.Nodes, n)
	return n
}

// Remove ends a node that Extra made, and forgets it. It returns the exit status.
func (c *Cluster) Remove(n *Node, sig syscall.Signal) int {
	status := n.Stop(sig)
	c.Nodes = slices.DeleteFunc(c.Nodes, func(other *Node) bool { return other == n })
	if n.spare {
		c.spare = append(c.spare, n.Listen)
	}
	return status
}

type nodeOptions struct {
	targets []string
	number  int
	remote  bool
	prefix  string
	extra   bool
}

func (c *Cluster) node(o nodeOptions) *Node {
	host := "127.0.0.1"
	if c.Network != nil {
		host = c.Network.Here
	}
	n := &Node{Targets: o.targets, Remote: o.remote}
	var argv []string
	if o.remote {
		host, argv = c.Network.There, c.Network.on()
	}
	n.admin, n.Listen = c.freePort(host, o.remote), c.freePort(host, o.remote)
	if !c.Balanced {
		n.Listen = freeAddress(c.t)
	}
	if o.extra && c.Balanced && n.Runs("gateway") {
		require.NotEmpty(c.t, c.spare, "places for gateways")
		n.Listen, c.spare, n.spare = c.spare[0], c.spare[1:], true
	}
	name := fmt.Sprintf("%s-%d", strings.Join(o.targets, "+"), o.number)
	argv = append(argv, c.binary, "serve", "--target", strings.Join(o.targets, ","), "--data-dir", c.t.TempDir(),
		"--listen", n.Listen, "--admin-listen", n.admin, "--admin-open", "on", "--registration", "open", "--rate-limits", "off",
		"--identity-passwords-memory-kib", "64", "--identity-passwords-iterations", "1",
		// The pages that tests have previews of are on this machine.
		"--media-url-previews-enabled", "on", "--media-url-previews-allow", "127.0.0.1", "--media-url-previews-ports", "all")
	argv = append(argv, c.share(n, o, host)...)
	n.Process = NewProcess(name, nil, argv...)
	c.t.Cleanup(func() {
		n.Stop(syscall.SIGKILL)
		if c.t.Failed() {
			c.t.Logf("the log of %s:\n%s", name, n.Log())
		}
	})
	return n
}

// share returns the arguments that say what a node shares with others.
func (c *Cluster) share(n *Node, o nodeOptions, host string) []string {
	var args []string
	if c.database != "" {
		args = append(args, "--database", c.databaseOf(n))
	}
	if c.Topology.Registry == RegistryMemory {
		return args
	}
	args = append(args, "--media-path", c.media)
	from := "127.0.0.1"
	if o.remote {
		from = c.Network.Here
	}
	n.Registry, n.Bus = NewLink(c.t, from, c.Registry.Addr()), NewLink(c.t, from, c.busAddr)
	args = append(args, "--cluster-registry", c.Topology.Registry, "--cluster-endpoints", n.Registry.Addr(),
		"--cluster-bus", "nats://"+n.Bus.Addr(), "--cluster-listen", net.JoinHostPort(host, "0"))
	if o.prefix != "" {
		args = append(args, "--cluster-prefix", o.prefix)
	}
	if c.Secret != "" {
		args = append(args, "--cluster-secret", c.Secret)
	}
	return args
}

// databaseOf is the database's URL for a node: rooms' have a way of their own, which tests cut.
func (c *Cluster) databaseOf(n *Node) string {
	u, err := url.Parse(c.database)
	require.NoError(c.t, err)
	switch {
	case n.Remote:
		u.Host = net.JoinHostPort(c.Network.Here, strconv.Itoa(c.Postgres.Port()))
	case n.Runs("room"):
		n.Database = NewLink(c.t, "127.0.0.1", u.Host)
		u.Host = n.Database.Addr()
	}
	return u.String()
}

// freePort returns an address that nobody listens on; on the other host, where nothing else runs, any will do.
func (c *Cluster) freePort(host string, remote bool) string {
	if remote {
		host = "127.0.0.1"
	}
	addr, err := freeport.On(c.t.Context(), host)
	require.NoError(c.t, err)
	if remote {
		_, port, err := net.SplitHostPort(addr)
		require.NoError(c.t, err)
		return net.JoinHostPort(c.Network.There, port)
	}
	return addr
}

// Stop ends all nodes with a signal, all at once, and returns an error for each that did not end well.
func (c *Cluster) Stop(sig syscall.Signal) error {
	errs := make([]error, len(c.Nodes))
	var g errgroup.Group
	for i, n := range c.Nodes {
		g.Go(func() error {
			if status := n.Stop(sig); status != 0 {
				errs[i] = fmt.Errorf("%s ended with status %d", n.Name, status)
			}
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}
