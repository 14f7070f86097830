package nats

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ServerConfig is a NATS server inside this process.
type ServerConfig struct {
	// Host and Port are where it listens; port -1 takes a free one.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`
	// Token is what clients must say; empty lets everybody in.
	Token string `yaml:"-"`
}

// Server is an embedded NATS server. It stores nothing.
type Server struct{ ns *server.Server }

// StartServer starts a server and waits until it listens.
func StartServer(config ServerConfig) (*Server, error) {
	ns, err := server.NewServer(&server.Options{
		ServerName: "hongyan", Host: config.Host, Port: config.Port, Authorization: config.Token,
		NoSigs: true, NoLog: true, MaxPayload: 1 << 20,
	})
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

// URL is where clients connect.
func (s *Server) URL() string { return s.ns.ClientURL() }

// Close stops the server and waits for it.
func (s *Server) Close() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
