package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// Server is a running etcd.
type Server struct {
	etcd     *embed.Etcd
	endpoint string
	closing  atomic.Bool
	once     sync.Once

	mu   sync.Mutex
	grpc []*grpc.Server
}

// Start starts a server and waits until it serves clients; a member of a cluster, until most members are there. When ctx
// ends before, it stops it again.
func Start(ctx context.Context, config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	endpoint, err := config.endpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("etcd server: listen: %w", err)
	}
	s := &Server{endpoint: endpoint}
	e, err := config.embed(endpoint, newLogger(&s.closing))
	if err != nil {
		return nil, fmt.Errorf("etcd server: %w", err)
	}
	e.ServiceRegister = func(g *grpc.Server) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.grpc = append(s.grpc, g)
	}
	if s.etcd, err = embed.StartEtcd(e); err != nil {
		return nil, fmt.Errorf("start the etcd server: %w", err)
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
		return s, nil
	case err = <-s.etcd.Err():
	case <-s.etcd.Server.StopNotify():
		err = errors.New("it stopped")
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.Close()
	return nil, fmt.Errorf("start the etcd server: %w", err)
}

// endpoint returns where to listen, with a port.
func (c Config) endpoint(ctx context.Context) (string, error) {
	address, err := c.address(c.Listen)
	if err != nil {
		return "", err
	}
	if _, port, _ := net.SplitHostPort(address); port != "0" {
		return address, nil
	}
	// etcd wants to know its port before it listens.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// HasLeader tells whether the members that this one reaches have agreed on one to lead, as far as it knows: without, nothing
// can be stored.
func (s *Server) HasLeader() bool { return s.etcd.Server.Leader() != 0 }

// Endpoint is where clients connect (host:port).
func (s *Server) Endpoint() string { return s.endpoint }

// Wait waits until ctx ends, or returns why the server stopped before.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.etcd.Err():
		return fmt.Errorf("etcd server: %w", err)
	case <-s.etcd.Server.StopNotify():
		return errors.New("etcd server: it stopped")
	}
}

// Close stops the server and waits for it. It does not wait for clients: etcd alone would give their watches seven seconds.
func (s *Server) Close() {
	s.once.Do(func() {
		s.closing.Store(true)
		s.mu.Lock()
		servers := s.grpc
		s.mu.Unlock()
		for _, g := range servers {
			g.Stop()
		}
		select {
		case <-s.etcd.Server.ReadyNotify():
		default:
			// What waits to become ready is told first, else closing would wait for it.
			s.etcd.Server.Stop()
		}
		s.etcd.Close()
	})
}
