package cluster

import (
	"context"
	"crypto/tls"
	"strings"

	"hongyan/platform/bus"
	"hongyan/platform/bus/nats"
	"hongyan/platform/registry"
	"hongyan/platform/registry/etcd"
	"hongyan/platform/registry/zookeeper"
)

// openRegistry connects to the registry that cfg names.
func openRegistry(ctx context.Context, cfg Config, identity *TLS) (registry.Registry, error) {
	if cfg.Registry == ZooKeeper {
		return zookeeper.Open(zookeeper.Config{
			Endpoints: cfg.Endpoints, Prefix: cfg.Prefix, Username: cfg.Username, Password: cfg.Password,
		})
	}
	return etcd.Open(ctx, etcd.Config{
		Endpoints: cfg.Endpoints, Prefix: cfg.Prefix, Username: cfg.Username, Password: cfg.Password,
		TLS: identity.forServers("the registry", cfg.Endpoints, "https://"),
	})
}

// openBus connects to NATS.
func openBus(cfg Config, identity *TLS) (bus.Bus, error) {
	return nats.Open(nats.Config{
		URLs: plain(cfg.Bus), Token: cfg.BusToken, Setting: "cluster.bus_token", Prefix: strings.ReplaceAll(strings.Trim(cfg.Prefix, "/"), "/", "."),
		TLS: identity.forServers("the bus", plain(cfg.Bus), "tls://"),
	})
}

// forServers is how to connect to servers that hongyan registry runs, which are members; nil where their addresses do not
// ask for TLS, or where this process has no certificate and goes by the system's authorities.
func (t *TLS) forServers(what string, addresses []string, secure string) *tls.Config {
	if t == nil {
		return nil
	}
	for _, a := range addresses {
		if strings.HasPrefix(a, secure) {
			return t.ClientOf(what)
		}
	}
	return nil
}
