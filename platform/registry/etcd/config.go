package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"hongyan/platform/obs"
)

// Config says where etcd is.
type Config struct {
	// Endpoints are the members' client addresses ("host:2379", also with http:// or https:// before it).
	Endpoints []string
	// Prefix is what all keys begin with, so that deployments can share an etcd; empty is "/hongyan".
	Prefix string
	// Username and Password are for an etcd with authentication; both empty for none.
	Username string
	Password obs.Secret
	// TLS is how to connect; nil is in the clear, unless an endpoint says https.
	TLS *tls.Config
	// TTL is how long records outlive a process that died, in whole seconds; 0 is 3 s. A heartbeat is sent three times
	// as often.
	TTL time.Duration
}

const (
	defaultPrefix = "/hongyan"
	defaultTTL    = 3 * time.Second
	maxTTL        = time.Hour
	// callTimeout is for a call, and for logging in before it, which costs etcd a tenth of a second of work.
	callTimeout = 3 * time.Second
)

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if len(c.Endpoints) == 0 {
		return errors.New("etcd: no endpoints")
	}
	for _, e := range c.Endpoints {
		address := strings.TrimPrefix(strings.TrimPrefix(e, "http://"), "https://")
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return fmt.Errorf("etcd: endpoint %q: want host:port", e)
		}
	}
	if len(c.Prefix) > 256 || strings.Trim(c.Prefix, "/") == "" && c.Prefix != "" {
		return fmt.Errorf("etcd: prefix %q: want a path of up to 256 bytes", c.Prefix)
	}
	if (c.Username == "") != (c.Password == "") {
		return errors.New("etcd: username and password are given together or not at all")
	}
	if c.TTL < 0 || c.TTL > maxTTL || c.TTL%time.Second != 0 {
		return fmt.Errorf("etcd: ttl %s: want whole seconds, up to an hour", c.TTL)
	}
	return nil
}

// withDefaults fills in what is empty.
func (c Config) withDefaults() Config {
	c.Prefix = strings.TrimRight(c.Prefix, "/")
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.TTL == 0 {
		c.TTL = defaultTTL
	}
	return c
}

// root is what the keys of records begin with.
func (c Config) root() string { return c.Prefix + "/instances/" }

// connect makes a client. It needs etcd to be there only when it has to authenticate.
func (c Config) connect(ctx context.Context) (*clientv3.Client, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // the client is used to take leave after ctx
	stop := context.AfterFunc(ctx, end)
	client, err := clientv3.New(clientv3.Config{
		Endpoints: c.Endpoints, Username: c.Username, Password: c.Password.Reveal(), TLS: c.TLS, Context: life,
		DialTimeout: 2 * time.Second, // of authentication
		// A connection that carries calls but no answers is given up after two seconds: the keep-alive timeout is also
		// TCP_USER_TIMEOUT.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 2 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		})},
		// etcd logs with zap, each retry of each call. What matters is logged here; a client without a configuration has
		// a logger that is silent.
		Logger: clientv3.NewCtxClient(ctx).GetLogger(),
	})
	if err != nil {
		stop()
		end()
		return nil, err
	}
	if !stop() { // it ended meanwhile, and the client with it
		_ = client.Close()
		return nil, ctx.Err()
	}
	return client, nil
}
