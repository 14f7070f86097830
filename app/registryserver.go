package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus/nats"
	"hongyan/platform/cluster"
	"hongyan/platform/obs"
	"hongyan/platform/registry/etcd/etcdserver"
)

// busRoutePort is where the buses of a cluster reach each other, unless told otherwise.
const busRoutePort = "6222"

// RegistryServerConfig is a registry and a bus for processes that share them: etcd and NATS inside this process, alone or
// as one of several.
type RegistryServerConfig struct {
	// DataDir is the registry's; the bus keeps nothing.
	DataDir string
	// Listen and BusListen are where processes connect to registry and bus (host:port); an empty BusListen is no bus.
	Listen, BusListen string
	// BusToken is what the bus wants to hear; empty lets everybody in.
	BusToken obs.Secret
	// Secret is the cluster's: with it, registry and bus speak mutual TLS only. TLSCA, TLSCert and TLSKey are files to use
	// instead. Insecure does without on addresses that other machines reach.
	Secret                 obs.Secret
	TLSCA, TLSCert, TLSKey string
	Insecure               bool
	// Name is this node's name in Cluster, which has host:port of the registry's peers by name; empty for a node that is
	// alone. PeerListen is where the others connect; empty is the own one of Cluster. Join is for a node that is added to
	// a cluster that runs.
	Name, PeerListen string
	Cluster          map[string]string
	Join             bool
	// BusRouteListen is where the other nodes' buses connect, BusRoutes are where they listen; empty are port 6222
	// of the hosts of Cluster.
	BusRouteListen string
	BusRoutes      []string
	// AdminListen serves /healthz, /readyz, /metrics and profiles; empty for nowhere, adminAuto for this machine only.
	// AdminToken is what readers must show. AdminOpen lets everybody read without, who reaches it from another machine.
	AdminListen string
	AdminToken  obs.Secret
	AdminOpen   bool
	// Version is the program's.
	Version string
}

// DefaultRegistryServerConfig is a node that is alone, for processes on the same machine.
func DefaultRegistryServerConfig() RegistryServerConfig {
	return RegistryServerConfig{
		DataDir: "registry-data", Listen: "127.0.0.1:2379", BusListen: "127.0.0.1:4222", Name: "hongyan",
		AdminListen: adminAuto,
	}
}

// withDefaults fills in what follows from the cluster.
func (c RegistryServerConfig) withDefaults() RegistryServerConfig {
	if len(c.Cluster) == 0 {
		return c
	}
	own := c.Cluster[c.Name]
	if c.PeerListen == "" {
		c.PeerListen = own
	}
	if c.BusListen == "" {
		return c
	}
	if host, _, err := net.SplitHostPort(own); err == nil && c.BusRouteListen == "" {
		c.BusRouteListen = net.JoinHostPort(host, busRoutePort)
	}
	if len(c.BusRoutes) == 0 {
		for _, member := range c.Cluster {
			if host, _, err := net.SplitHostPort(member); err == nil {
				c.BusRoutes = append(c.BusRoutes, net.JoinHostPort(host, busRoutePort))
			}
		}
		slices.Sort(c.BusRoutes)
	}
	return c
}

// credentials are what the processes have, as far as it matters here.
func (c RegistryServerConfig) credentials() cluster.Config {
	cfg := cluster.Default()
	cfg.Secret, cfg.TLSCA, cfg.TLSCert, cfg.TLSKey = c.Secret, c.TLSCA, c.TLSCert, c.TLSKey
	return cfg
}

// validate says what is wrong with c, once it is complete.
func (c RegistryServerConfig) validate() error {
	for name, address := range map[string]string{
		"listen": c.Listen, "bus-listen": c.BusListen, "peer-listen": c.PeerListen, "bus-route-listen": c.BusRouteListen,
	} {
		if address == "" {
			continue
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("%s %q: want host:port", name, address)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return fmt.Errorf("%s %q: want a port from 0 to 65535", name, address)
		}
		if !cluster.IsLoopback(host) && c.Secret == "" && c.TLSCA == "" && !c.Insecure {
			return fmt.Errorf("%s %s is reached from other machines, and who reaches it can take traffic over: give it "+
				"and all servers the same secret, or certificates, or say --insecure if the network is trusted", name, address)
		}
	}
	if c.Listen == "" {
		return errors.New("listen: want host:port")
	}
	if err := c.validateAdmin(); err != nil {
		return err
	}
	return c.credentials().Validate()
}

func (c RegistryServerConfig) validateAdmin() error {
	switch {
	case c.AdminListen == "" || c.AdminListen == adminAuto:
		return nil
	case !isListenAddress(c.AdminListen):
		return fmt.Errorf("admin-listen %q: want host:port with a port from 0 to 65535, auto, or nothing", c.AdminListen)
	case !isLoopback(c.AdminListen) && c.AdminToken == "" && !c.AdminOpen:
		return fmt.Errorf("admin-listen %q: other machines reach it: give a token, which readers must show "+
			"(HONGYAN_ADMIN_TOKEN), or say --admin-open where only monitoring gets there", c.AdminListen)
	}
	return nil
}

// RegistryServer is a running node.
type RegistryServer struct {
	dir   *dataDir
	tls   *tlsFiles // nil without TLS
	admin *registryAdmin
	etcd  *etcdserver.Server
	bus   *nats.Server
}

// StartRegistryServer starts a node and waits until it serves; one of a cluster, until most of its nodes are there. When ctx
// ends before, it stops it again.
func StartRegistryServer(ctx context.Context, cfg RegistryServerConfig) (*RegistryServer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &RegistryServer{}
	if err := s.start(ctx, cfg); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *RegistryServer) start(ctx context.Context, cfg RegistryServerConfig) (err error) {
	if s.dir, err = takeDataDir(cfg.DataDir); err != nil {
		return err
	}
	credentials, err := cluster.NewTLS(cfg.credentials())
	if err != nil {
		return err
	}
	if s.admin, err = startRegistryAdmin(ctx, cfg); err != nil {
		return err
	}
	// The registry is asked on other goroutines, from before it is there.
	var started atomic.Pointer[etcdserver.Server]
	s.admin.health.Check("registry", func() error {
		switch registry := started.Load(); {
		case registry == nil:
			return errNotYet
		case !registry.HasLeader():
			return errNoLeader
		}
		return nil
	})
	// The bus needs nobody else, so it does not wait for the other nodes.
	if s.bus, err = startBus(cfg, credentials); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if s.bus != nil {
		s.admin.metrics.MustRegister(s.bus.Collector())
	}
	registry := etcdserver.Config{
		DataDir: s.dir.file("etcd"), Listen: cfg.Listen, Name: cfg.Name, PeerListen: cfg.PeerListen, Cluster: cfg.Cluster,
		Join: cfg.Join,
	}
	if credentials != nil {
		if s.tls, err = writeTLS(credentials, s.dir); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		registry.TLS = s.tls.server()
		if cfg.Secret != "" {
			registry.TLS.ServerName = cluster.ServerName
		}
	}
	if s.etcd, err = etcdserver.Start(ctx, registry); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	started.Store(s.etcd)
	s.admin.health.SetReady(true)
	return nil
}

// startBus starts the bus, or returns nil where none is wanted.
func startBus(cfg RegistryServerConfig, credentials *cluster.TLS) (*nats.Server, error) {
	if cfg.BusListen == "" {
		return nil, nil
	}
	host, text, err := net.SplitHostPort(cfg.BusListen)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = -1 // in NATS's words, any
	}
	bus := nats.ServerConfig{Host: host, Port: port, Token: cfg.BusToken.Reveal(), Name: cfg.Name}
	if cfg.BusRouteListen != "" {
		bus.Routes = &nats.Routes{Listen: cfg.BusRouteListen, Servers: cfg.BusRoutes}
	}
	if credentials != nil {
		bus.TLS = credentials.Server()
		if bus.Routes != nil {
			// One configuration for both ends: what checks servers checks clients as well.
			both, client := credentials.Server(), credentials.ClientOf("the bus of another node")
			both.InsecureSkipVerify, both.VerifyConnection = client.InsecureSkipVerify, client.VerifyConnection
			bus.Routes.TLS = both
		}
	}
	return nats.StartServer(bus)
}

// Endpoint is where processes reach the registry (host:port).
func (s *RegistryServer) Endpoint() string { return s.etcd.Endpoint() }

// BusURL is where they reach the bus; empty for none.
func (s *RegistryServer) BusURL() string {
	if s.bus == nil {
		return ""
	}
	return s.bus.URL()
}

// AdminAddr is where monitoring reads; nil for nowhere.
func (s *RegistryServer) AdminAddr() net.Addr {
	if s.admin.listener == nil {
		return nil
	}
	return s.admin.listener.Addr()
}

// Wait waits until ctx ends, or returns why the node stopped before.
func (s *RegistryServer) Wait(ctx context.Context) error { return s.etcd.Wait(ctx) }

// Close stops everything and waits for it.
func (s *RegistryServer) Close() {
	if s.admin != nil {
		s.admin.health.SetReady(false)
	}
	if s.etcd != nil {
		s.etcd.Close()
	}
	if s.tls != nil {
		if err := s.tls.remove(); err != nil {
			logx.Errorf("remove the certificate's key: %v", err)
		}
	}
	if s.bus != nil {
		s.bus.Close()
	}
	if s.admin != nil {
		s.admin.close()
	}
	if s.dir != nil {
		s.dir.close()
	}
}
