package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/httpx"
)

// Limits of a connection. None of them ends a long poll: reading is bounded for the header here and for bodies where
// they are read, writing by progress.
const (
	readHeaderTimeout = 20 * time.Second
	idleTimeout       = 3 * time.Minute
	maxHeaderBytes    = 64 << 10
	writeTimeout      = time.Minute
)

// Listener serves a handler on network addresses. Listen opens the ports, Run serves and, when it is told to stop,
// drains.
type Listener struct {
	name    string
	handler http.Handler
	tls     *tls.Config
	open    []net.Listener
	// leaving has clients sent away with their next answer.
	leaving atomic.Bool
	// closing has new polls refused.
	closing atomic.Bool
	inHand  inHand
}

// NewListener returns a listener that serves plain HTTP, or HTTPS where certificates is not nil. name is for the log.
func NewListener(name string, handler http.Handler, certificates *Certificates) *Listener {
	l := &Listener{name: name, handler: handler}
	if certificates != nil {
		l.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, GetCertificate: certificates.get, NextProtos: []string{"h2", "http/1.1"},
		}
	}
	return l
}

// Listen opens the port of an address ("host:port", ":port"). The host localhost stands for both loopback addresses, of
// which one may be missing.
func (l *Listener) Listen(ctx context.Context, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen on %q: want host:port or :port: %w", address, err)
	}
	hosts := []string{host}
	if host == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	var failed []error
	for _, host := range hosts {
		if len(l.open) > 0 && port == "0" { // both loopback addresses get the same port
			_, port, _ = net.SplitHostPort(l.open[0].Addr().String())
		}
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
		if err != nil {
			failed = append(failed, fmt.Errorf("listen: %w", err))
			continue
		}
		l.open = append(l.open, ln)
	}
	// A port that is taken on one of two addresses would answer with somebody else's server half of the time.
	for _, err := range failed {
		if len(l.open) == 0 || errors.Is(err, syscall.EADDRINUSE) {
			l.Close()
			return err
		}
	}
	return nil
}

// Addr is the first address that is listened on.
func (l *Listener) Addr() net.Addr { return l.open[0].Addr() }

// Close closes the ports without a drain, where Run does not.
func (l *Listener) Close() {
	for _, ln := range l.open {
		_ = ln.Close() // it may be closed already
	}
	l.open = nil
}

// Leave sends clients away: whoever is answered from now on closes the connection and opens the next one elsewhere. New
// connections are taken as before, until Run's context ends: who sends on one that was just closed would have to repeat.
func (l *Listener) Leave() { l.leaving.Store(true) }

// Answered returns a channel that is closed when the requests are answered that are in hand now. Those that come meanwhile
// are answered, and not waited for, nor are those that an earlier call waited for; only polls are refused, which would come
// again and again.
func (l *Listener) Answered() <-chan struct{} {
	l.closing.Store(true)
	return l.inHand.turn()
}

// Run serves until ctx ends. It then accepts nothing new and waits for the requests that are being answered, until
// drain ends; what is left is cut off.
func (l *Listener) Run(ctx, drain context.Context) error {
	errorLog := httpx.ErrorLog(l.name)
	unused := unusedConns{conns: map[net.Conn]struct{}{}}
	returned := newLot(context.WithoutCancel(ctx), l.open[0].Addr(), l)
	server := &http.Server{
		Handler:           l.inHand.count(l.handler),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errorLog,
		TLSConfig:         l.tls,
		ConnState:         unused.note,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(returned.base, lotKey{}, returned)
		},
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(l.open)+1)
	run := func(ln net.Listener, serve func(net.Listener) error) {
		wg.Go(func() {
			if err := serve(ln); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s on %s: %w", l.name, ln.Addr(), err)
			}
		})
	}
	for _, ln := range l.open {
		serve := server.Serve
		if l.tls != nil {
			serve = func(ln net.Listener) error { return server.ServeTLS(ln, "", "") }
		}
		run(boundedListener{ln}, serve)
	}
	run(returned, server.Serve)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	unused.close()
	if e := server.Shutdown(drain); e != nil {
		logx.Infof("%s: cut off requests that were not answered within the drain", l.name)
		_ = server.Close() // the connections are given up
	}
	wg.Wait()
	return err
}

// unusedConns are connections that have not sent a byte. Browsers open them in advance, and http.Server.Shutdown would
// wait five seconds for a request on them.
type unusedConns struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

// note is the server's ConnState hook.
func (u *unusedConns) note(c net.Conn, state http.ConnState) {
	if state == http.StateIdle {
		return // it was active before
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if state != http.StateNew {
		delete(u.conns, c)
		return
	}
	if u.closed {
		_ = c.Close() // nobody waits for it
		return
	}
	u.conns[c] = struct{}{}
}

func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	for c := range u.conns {
		_ = c.Close() // nobody waits for it
	}
}
