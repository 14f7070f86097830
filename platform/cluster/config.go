package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"hongyan/platform/obs"
)

// Kinds of registries.
const (
	// Memory is the registry of a process that is alone.
	Memory = "memory"
	// Etcd is etcd, embedded (hongyan registry) or external.
	Etcd = "etcd"
	// ZooKeeper is an external ZooKeeper.
	ZooKeeper = "zookeeper"
)

// prefixForm is what a prefix may be: it becomes keys, paths and the bus's subjects.
var prefixForm = regexp.MustCompile(`^(/[A-Za-z0-9_-]{1,64}){1,4}$`)

// minSecret is the shortest cluster secret, in bytes: whoever sees a certificate that was made of it can try secrets, as
// many as their machines can in a year.
const minSecret = 32

// Config says how this process finds the others, and they it.
type Config struct {
	// Registry is memory, etcd or zookeeper.
	Registry string `yaml:"registry"`
	// Endpoints are the registry's servers (host:port; https://host:port for etcd over TLS).
	Endpoints []string `yaml:"endpoints"`
	// Prefix is where the registry keeps this deployment's records.
	Prefix string `yaml:"prefix"`
	// Username and Password are for a registry that wants them.
	Username string     `yaml:"username"`
	Password obs.Secret `yaml:"password"`
	// Bus are the NATS servers (nats://host:port, tls://host:port). Empty is the bus of a process that is alone.
	Bus []BusURL `yaml:"bus"`
	// BusToken is what NATS wants to hear.
	BusToken obs.Secret `yaml:"bus_token"`
	// Listen is where other processes reach the services of this one (host:port). Port 0 takes free ports; another one is
	// the first of two for each service, in the order of the table of targets.
	Listen string `yaml:"listen"`
	// Advertise is the host that others use; empty for that of Listen.
	Advertise string `yaml:"advertise"`
	// Zone is where this process runs: callers prefer their own. Weight is its share of calls, relative to others'.
	Zone   string `yaml:"zone"`
	Weight int    `yaml:"weight"`
	// Secret is shared by all processes: from it each makes a certificate for mutual TLS. TLSCA, TLSCert and TLSKey are
	// files to use instead.
	Secret  obs.Secret `yaml:"secret"`
	TLSCA   string     `yaml:"tls_ca"`
	TLSCert string     `yaml:"tls_cert"`
	TLSKey  string     `yaml:"tls_key"`
}

// Default is the configuration of a process that is alone.
func Default() Config {
	return Config{Registry: Memory, Prefix: "/hongyan", Listen: "127.0.0.1:0", Weight: 1}
}

// Shared tells whether the registry is one that other processes share.
func (c Config) Shared() bool { return c.Registry != Memory }

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if kinds := []string{Memory, Etcd, ZooKeeper}; !slices.Contains(kinds, c.Registry) {
		return fmt.Errorf("registry %q: want memory, etcd or zookeeper", c.Registry)
	}
	if c.Weight < 1 || c.Weight > 1000 {
		return fmt.Errorf("weight %d: want 1 to 1000", c.Weight)
	}
	if err := c.validateTLS(); err != nil {
		return err
	}
	if !c.Shared() {
		return nil
	}
	switch {
	case len(c.Endpoints) == 0:
		return fmt.Errorf("endpoints: want the servers of %s, such as localhost:2379", c.Registry)
	case slices.ContainsFunc(c.Endpoints, func(e string) bool { return strings.Contains(e, "@") }):
		return errors.New("endpoints: want no user in them, but in cluster.username and cluster.password")
	case len(c.Bus) == 0:
		return errors.New("bus: want the NATS servers that all processes share, such as nats://localhost:4222")
	case !prefixForm.MatchString(c.Prefix):
		return fmt.Errorf("prefix %q: want a path of letters, digits, - and _, such as /hongyan", c.Prefix)
	}
	return c.validateListen()
}

func (c Config) validateTLS() error {
	files := 0
	for _, name := range []string{c.TLSCA, c.TLSCert, c.TLSKey} {
		if name != "" {
			files++
		}
	}
	switch {
	case files != 0 && files != 3:
		return errors.New("tls_ca, tls_cert and tls_key: want all or none")
	case files != 0 && c.Secret != "":
		return errors.New("secret, tls_ca: want one of them")
	case c.Secret != "":
		return checkSecret(c.Secret.Reveal())
	}
	return nil
}

func checkSecret(secret string) error {
	if len(secret) < minSecret {
		return fmt.Errorf("secret: want at least %d random characters, such as those that openssl rand -hex 32 prints", minSecret)
	}
	return nil
}

// secured tells whether there is TLS.
func (c Config) secured() bool { return c.Secret != "" || c.TLSCA != "" }

func (c Config) validateListen() error {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen %q: want host:port", c.Listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("listen %q: want a port from 0 to 65535", c.Listen)
	}
	if !IsLoopback(host) && !c.secured() {
		return fmt.Errorf("listen %s is reached from other machines: give all processes the same secret (cluster.secret), "+
			"or certificates (cluster.tls_ca, tls_cert and tls_key)", c.Listen)
	}
	if strings.ContainsAny(c.Advertise, "/ ") {
		return fmt.Errorf("advertise %q: want a host name or an address, without a port", c.Advertise)
	}
	return nil
}

// IsLoopback tells whether only this machine reaches a host.
func IsLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && address.IsLoopback())
}
