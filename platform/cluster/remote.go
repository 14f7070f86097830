package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	nodepb "hongyan/api/node"
	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
	"hongyan/platform/rpc"
)

// remote is the network of a process that is one of many: calls go by gRPC and requests by HTTP/2 to the instances that
// the directory lists, or stay in this process where it has what they want.
type remote struct {
	cfg    Config
	bootID string
	tls    *TLS // nil in the clear
	calls  *rpc.Cluster
	hop    *hop.Cluster
	ports  []*ports
}

// ports are where other processes reach one service of this one.
type ports struct {
	member     Member
	server     *hop.Server  // nil without routes
	http, grpc net.Listener // open after listen
}

func newRemote(cfg Config, deps Deps, directory *registry.Directory, identity *TLS) (*remote, error) {
	r := &remote{cfg: cfg, bootID: deps.BootID, tls: identity}
	r.hop = hop.NewCluster(directory, hop.Options{
		TLS: r.clientTLS(), Zone: cfg.Zone, Self: deps.BootID, Local: r.handler, Metrics: deps.Metrics,
	})
	options := rpc.ClusterOptions{Options: deps.RPC, Self: deps.BootID, Zone: cfg.Zone}
	if identity != nil {
		options.Credentials = credentials.NewTLS(identity.ClientOf("a process to call"))
	}
	var err error
	if r.calls, err = rpc.NewCluster(directory, options); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *remote) clientTLS() *tls.Config {
	if r.tls == nil {
		return nil
	}
	return r.tls.ClientOf("a process to send requests to")
}

func (r *remote) conns() *rpc.Conns { return r.calls.Conns() }

func (r *remote) upstream(service string, serves func(registry.Instance) bool) (http.RoundTripper, error) {
	return r.hop.UpstreamOf(service, serves), nil
}

// handler is a service of this process, for requests that need not leave it.
func (r *remote) handler(service string) http.Handler {
	for _, p := range r.ports {
		if p.member.Name == service && p.server != nil {
			return p.server
		}
	}
	return nil
}

func (r *remote) add(m Member) error {
	p := &ports{member: m}
	if m.Handler != nil {
		options := hop.ServerOptions{Name: m.Name, BootID: r.bootID, Handler: m.Handler}
		if r.tls != nil {
			options.TLS = r.tls.Server()
		}
		var err error
		if p.server, err = hop.NewServer(options); err != nil {
			return err
		}
	}
	r.ports = append(r.ports, p)
	r.calls.Local().Add(m.RPC)
	return nil
}

// listen opens two ports a service: the one for HTTP first, whether it has routes or not.
func (r *remote) listen(ctx context.Context) error {
	host, first, err := net.SplitHostPort(r.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen %q: %w", r.cfg.Listen, err)
	}
	port, err := strconv.Atoi(first)
	if err != nil {
		return fmt.Errorf("listen %q: %w", r.cfg.Listen, err)
	}
	next := func() string {
		address := net.JoinHostPort(host, strconv.Itoa(port))
		if port != 0 {
			port++
		}
		return address
	}
	var config net.ListenConfig
	for _, p := range r.ports {
		address := next()
		if p.server != nil {
			if p.http, err = config.Listen(ctx, "tcp", address); err != nil {
				return fmt.Errorf("listen for %s: %w", p.member.Name, err)
			}
		}
		if p.grpc, err = config.Listen(ctx, "tcp", next()); err != nil {
			return fmt.Errorf("listen for calls of %s: %w", p.member.Name, err)
		}
	}
	return nil
}

func (r *remote) address(name string, instance *registry.Instance) {
	for _, p := range r.ports {
		if p.member.Name != name {
			continue
		}
		if p.http != nil {
			instance.HTTP = r.cfg.public(p.http.Addr())
		}
		if p.grpc != nil {
			instance.GRPC = r.cfg.public(p.grpc.Addr())
		}
	}
}

// admit lets requests in: before, they are refused unheard.
func (r *remote) admit(name string) {
	for _, p := range r.ports {
		if p.member.Name == name && p.server != nil {
			p.server.Open()
		}
	}
}

func (r *remote) run(ctx context.Context) error {
	var running sync.WaitGroup
	var pinging, sending error
	running.Go(func() { pinging = r.calls.Run(ctx) })
	running.Go(func() { sending = r.hop.Run(ctx) })
	running.Wait()
	return errors.Join(pinging, sending)
}

// serve serves all ports. When ctx ends, callers are told to go elsewhere; what they had sent is answered until drain ends.
// Calls within this process go on: its services need each other until they have ended.
func (r *remote) serve(ctx, drain context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	serve := func(run func() error) {
		serving.Go(func() {
			defer cancel() // one that ends early ends all
			if err := run(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	for _, p := range r.ports {
		if p.http != nil {
			serve(func() error { return p.server.Run(ctx, drain, p.http) })
		}
		serve(func() error { return r.serveCalls(ctx, drain, p) })
	}
	serving.Wait()
	return errors.Join(errs...)
}

func (r *remote) serveCalls(ctx, drain context.Context, p *ports) error {
	var options []grpc.ServerOption
	if r.tls != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(r.tls.Server())))
	}
	server := p.member.RPC.NewGRPC(options...)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		if err := p.member.RPC.Leave(drain, server); err != nil {
			logx.Infof("calls of %s: cut off those that were not answered within the drain", p.member.Name)
		}
	})
	err := server.Serve(p.grpc)
	if stop() { // it ended by itself
		server.Stop()
	} else {
		<-stopped
	}
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve calls of %s on %s: %w", p.member.Name, p.grpc.Addr(), err)
	}
	return nil
}

// traffic is what this process sent: requests of its gateway and calls of all its services.
func (r *remote) traffic() []*nodepb.Traffic {
	var all []*nodepb.Traffic
	for _, t := range r.hop.Traffic() {
		all = append(all, &nodepb.Traffic{
			Service: t.Instance.Service, BootId: t.Instance.BootID, Kind: "http",
			Calls: t.Calls, Errors: t.Errors, LatencyUs: t.Latency.Microseconds(),
		})
	}
	for _, t := range r.calls.Traffic() {
		all = append(all, &nodepb.Traffic{
			Service: t.Instance.Service, BootId: t.Instance.BootID, Kind: "rpc",
			Calls: t.Calls, Errors: t.Errors, LatencyUs: t.Latency.Microseconds(),
		})
	}
	return slices.DeleteFunc(all, func(t *nodepb.Traffic) bool { return t.Calls == 0 })
}

func (r *remote) lastSeen(i registry.Instance) time.Time { return r.calls.Prober().LastSeen(i) }

func (r *remote) close() error {
	var errs []error
	for _, p := range r.ports {
		for _, l := range []net.Listener{p.http, p.grpc} {
			if l == nil {
				continue
			}
			if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	r.hop.Close()
	if r.calls != nil {
		errs = append(errs, r.calls.Close())
	}
	return errors.Join(errs...)
}
