package nats

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ServerConfig is a NATS server inside this process.
type ServerConfig struct {
	// Host and Port are where it listens; port -1 takes a free one.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	// Token is what clients must say, and servers to each other; empty lets everybody in.
	Token string `yaml:"-"`
	// TLS is for clients; nil is in the clear.
	TLS *tls.Config `yaml:"-"`
	// Name tells it from the servers that it is connected with; empty is "hongyan".
	Name string `yaml:"name"`
	// Routes connect it with others, so that clients may use any of them; nil for a server that is alone.
	Routes *Routes `yaml:"-"`
}

// Routes are the connections between servers.
type Routes struct {
	// Listen is where other servers connect (host:port).
	Listen string
	// Servers are where they listen (host:port each), those that are not there yet too, and itself if need be.
	Servers []string
	// TLS is for both ends of a connection between servers; nil is in the clear.
	TLS *tls.Config
}

// Server is an embedded NATS server. It stores nothing.
type Server struct{ ns *server.Server }

// StartServer starts a server and waits until it listens.
func StartServer(config ServerConfig) (*Server, error) {
	opts := &server.Options{
		ServerName: config.Name, Host: config.Host, Port: config.Port, Authorization: config.Token,
		NoSigs: true, NoLog: true, MaxPayload: 1 << 20,
	}
	if opts.ServerName == "" {
		opts.ServerName = "hongyan"
	}
	if config.TLS != nil {
		opts.TLS, opts.TLSConfig, opts.TLSTimeout = true, config.TLS, 2
		opts.TLSVerify = config.TLS.ClientAuth == tls.RequireAndVerifyClientCert
	}
	if config.Routes != nil {
		if err := config.Routes.apply(opts, config.Token); err != nil {
			return nil, fmt.Errorf("new nats server: %w", err)
		}
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("new nats server: %w", err)
	}
	ns.Start()
	if !ns.ReadyForConnections(5 * time.Second) {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, errors.New("nats server: not listening after 5 s")
	}
	return &Server{ns: ns}, nil
}

// apply adds the routes to a server's options.
func (r *Routes) apply(opts *server.Options, token string) error {
	host, text, err := net.SplitHostPort(r.Listen)
	if err != nil {
		return fmt.Errorf("routes: %w", err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return fmt.Errorf("routes: listen on %s: %w", r.Listen, err)
	}
	opts.Cluster = server.ClusterOpts{Name: "hongyan", Host: host, Port: int(port), TLSConfig: r.TLS, TLSTimeout: 2}
	var user *url.Userinfo
	if token != "" {
		opts.Cluster.Username, opts.Cluster.Password = "hongyan", token
		user = url.UserPassword("hongyan", token)
	}
	for _, s := range r.Servers {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", User: user, Host: s})
	}
	return nil
}

// URL is where clients connect.
func (s *Server) URL() string { return s.ns.ClientURL() }

// Close stops the server and waits for it.
func (s *Server) Close() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
