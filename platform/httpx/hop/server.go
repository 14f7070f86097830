package hop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

const (
	// maxStreams is how many requests one connection may carry; a gateway opens more connections for more.
	maxStreams = 1000
	// streamWindow is how much of a request's body may lie unread, connWindow how much of all bodies of a connection: so
	// much that uploads which a handler leaves waiting do not hold up others.
	streamWindow = 256 << 10
	connWindow   = 64 << 20
	// maxHeaderBytes is what the gateway takes from clients, and room for what it adds.
	maxHeaderBytes    = 96 << 10
	readHeaderTimeout = 20 * time.Second
	idleTimeout       = 3 * time.Minute
	// pingAfter and pingTimeout find connections whose gateway is gone: the polls on them hold memory.
	pingAfter   = 10 * time.Second
	pingTimeout = 10 * time.Second
)

// ServerOptions say what a server serves.
type ServerOptions struct {
	// Name is the service's. BootID is the process's, as it is registered; with it, GET /healthz tells whom it reached.
	Name, BootID string
	// Handler serves the service's routes.
	Handler http.Handler
	// TLS presents this process and checks who calls; it must ask for a certificate and verify it. nil serves in the
	// clear: then whoever reaches the port is trusted.
	TLS *tls.Config
}

// Server is the listener of the trusted hop in front of a service. It speaks HTTP/1.1 and HTTP/2, answers
// GET /healthz always, and refuses everything else until Open and after Refuse.
type Server struct {
	options ServerOptions
	open    atomic.Bool
}

// NewServer checks the options. It starts nothing.
func NewServer(options ServerOptions) (*Server, error) {
	if options.Handler == nil {
		return nil, fmt.Errorf("new server of %s: a handler is needed", options.Name)
	}
	if t := options.TLS; t != nil && (t.ClientAuth != tls.RequireAndVerifyClientCert || t.ClientCAs == nil) {
		return nil, fmt.Errorf("new server of %s: TLS must require and verify the callers' certificates", options.Name)
	}
	return &Server{options: options}, nil
}

// Open takes requests from now on.
func (s *Server) Open() { s.open.Store(true) }

// Refuse takes no further requests. Those that are being served go on; others are told that nobody looked at them, and
// are sent elsewhere.
func (s *Server) Refuse() { s.open.Store(false) }

// ServeHTTP serves a request, or refuses it unheard.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == httpx.HealthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		state := "ready"
		if !s.open.Load() {
			state = "refusing"
		}
		if s.options.BootID != "" {
			w.Header().Set(httpx.HeaderInstance, registry.Instance{Service: s.options.Name, BootID: s.options.BootID}.Key())
		}
		httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok", "state": state})
		return
	}
	if !s.open.Load() {
		w.Header().Set(httpx.HeaderRefused, "1")
		httpx.WriteJSON(w, http.StatusServiceUnavailable, matrix.Unavailable(nil))
		return
	}
	s.options.Handler.ServeHTTP(w, r)
}

// Run serves ln, which it closes, until ctx ends. It then refuses what comes, tells its callers to go elsewhere, and waits
// for the requests that are being served until drain ends; what is left is cut off. drain must outlive ctx.
func (s *Server) Run(ctx, drain context.Context, ln net.Listener) error {
	server := s.httpServer()
	failed := make(chan error, 1)
	go func() {
		if s.options.TLS != nil {
			failed <- server.ServeTLS(ln, "", "")
			return
		}
		failed <- server.Serve(ln)
	}()
	select {
	case err := <-failed:
		s.Refuse()
		_ = server.Close() // it serves no more
		return fmt.Errorf("serve %s on %s: %w", s.options.Name, ln.Addr(), err)
	case <-ctx.Done():
	}
	s.Refuse()
	if err := server.Shutdown(drain); err != nil {
		logx.Infof("%s: cut off requests that were not answered within the drain", s.options.Name)
		_ = server.Close() // the connections are given up
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s on %s: %w", s.options.Name, ln.Addr(), err)
	}
	return nil
}

func (s *Server) httpServer() *http.Server {
	server := &http.Server{
		Handler:           s,
		Protocols:         httpx.ServerProtocols(),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          httpx.ErrorLog(s.options.Name),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerStream: streamWindow,
			MaxReceiveBufferPerConnection: connWindow, SendPingTimeout: pingAfter, PingTimeout: pingTimeout,
		},
	}
	if s.options.TLS != nil {
		server.TLSConfig = s.options.TLS.Clone()
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetHTTP2(true)
	}
	return server
}
