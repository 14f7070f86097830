package etcdserver

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Config is an etcd server inside this process.
type Config struct {
	// DataDir is where it keeps its data; it is made where it is missing. Nobody else may use it.
	DataDir string
	// Listen is where clients connect, host:port with an IP address or localhost; port 0 takes a free one.
	Listen string
	// Name is its name in the cluster; empty is "hongyan".
	Name string
	// PeerListen is where other members connect, as Listen; empty is a free port on loopback, for one that is alone.
	PeerListen string
	// Cluster has all members: host:port of their peers' address by name; empty for one that is alone. Only the first
	// start looks at it.
	Cluster map[string]string
	// Join says at the first start that the cluster runs already and knows this member (etcdctl member add).
	Join bool
	// TLS is for clients and members; nil is in the clear.
	TLS *TLS
	// HashCost is the bcrypt cost of users' passwords, where somebody makes users; 0 is etcd's own.
	HashCost uint
}

// TLS is mutual TLS for clients and other members, from files: etcd reads them again for each connection, so they must stay.
type TLS struct {
	// CA, Cert and Key are names of PEM files. The certificate is used as server and as client (of other members), so it
	// needs both extended key usages.
	CA, Cert, Key string
	// ServerName is a DNS name in the certificates of all members, instead of their addresses; empty checks addresses.
	ServerName string
}

const (
	// quota is how large the database may become. A record takes less than a kilobyte, and heartbeats take nothing.
	quota = 256 << 20
	// history is for how long old revisions are kept: watches that were away for longer read everything.
	history = "5m"
)

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if c.DataDir == "" {
		return errors.New("etcd server: no data directory")
	}
	if _, err := c.address(c.Listen); err != nil {
		return fmt.Errorf("etcd server: listen: %w", err)
	}
	if len(c.Cluster) == 0 {
		return nil
	}
	if _, err := c.address(c.PeerListen); err != nil {
		return fmt.Errorf("etcd server: peers: %w", err)
	}
	if _, ok := c.Cluster[c.name()]; !ok {
		return fmt.Errorf("etcd server: the cluster has no member named %q", c.name())
	}
	for name, address := range c.Cluster {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return fmt.Errorf("etcd server: member %q: %q is no host:port", name, address)
		}
	}
	return nil
}

func (c Config) name() string {
	if c.Name == "" {
		return "hongyan"
	}
	return c.Name
}

// address checks an address to listen on. etcd wants an IP address or localhost.
func (c Config) address(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	switch {
	case err != nil:
		return "", err
	case host == "":
		host = "0.0.0.0"
	case host != "localhost" && net.ParseIP(host) == nil:
		return "", fmt.Errorf("%q: want an IP address or localhost", text)
	}
	return net.JoinHostPort(host, port), nil
}

func (c Config) url(address string) url.URL {
	if c.TLS != nil {
		return url.URL{Scheme: "https", Host: address}
	}
	return url.URL{Scheme: "http", Host: address}
}

// embed returns etcd's own configuration, for a valid one with a port.
func (c Config) embed(listen string, logger *zap.Logger) (*embed.Config, error) {
	e := embed.NewConfig()
	e.Dir, e.Name = c.DataDir, c.name()
	e.Logger, e.ZapLoggerBuilder = "zap", embed.NewZapLoggerBuilder(logger)
	e.ListenClientUrls = []url.URL{c.url(listen)}
	e.AdvertiseClientUrls = e.ListenClientUrls
	e.QuotaBackendBytes = quota
	if c.HashCost > 0 {
		e.BcryptCost = c.HashCost
	}
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, history
	peers, members := "127.0.0.1:0", map[string]string{e.Name: "127.0.0.1:0"}
	if len(c.Cluster) > 0 {
		var err error
		if peers, err = c.address(c.PeerListen); err != nil {
			return nil, err
		}
		members = c.Cluster
	}
	e.ListenPeerUrls = []url.URL{c.url(peers)}
	e.AdvertisePeerUrls = []url.URL{c.url(members[e.Name])}
	var list []string
	for name, address := range members {
		u := c.url(address)
		list = append(list, name+"="+u.String())
	}
	slices.Sort(list)
	e.InitialCluster, e.InitialClusterToken = strings.Join(list, ","), "hongyan"
	if c.Join {
		e.ClusterState = embed.ClusterStateFlagExisting
	}
	if c.TLS != nil {
		e.ClientTLSInfo, e.PeerTLSInfo = c.TLS.info(), c.TLS.info()
	}
	return e, nil
}

func (t *TLS) info() transport.TLSInfo {
	return transport.TLSInfo{
		CertFile: t.Cert, KeyFile: t.Key, TrustedCAFile: t.CA, ClientCertAuth: true, ServerName: t.ServerName,
		SkipClientSANVerify: true, // a member may come from any address
	}
}
