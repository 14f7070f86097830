package registrytest

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy stands between one process and its registry, and plays a network that lets nothing pass for a while:
// connections stay open, and what was sent arrives later.
type Proxy struct {
	target   string
	listener net.Listener
	running  sync.WaitGroup
	closed   chan struct{}

	mu    sync.Mutex
	open  chan struct{} // closed while everything passes
	conns map[net.Conn]struct{}
}

// NewProxy starts a proxy for this address (host:port), which need not be there yet. It ends with the test.
func NewProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{
		target: target, listener: listener, closed: make(chan struct{}), open: make(chan struct{}),
		conns: map[net.Conn]struct{}{},
	}
	close(p.open)
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Addr is where the process connects instead of the target (host:port).
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut lets nothing pass until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
		p.open = make(chan struct{})
	default: // it is cut already
	}
}

// Mend lets everything pass again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open: // it is not cut
	default:
		close(p.open)
	}
}

func (p *Proxy) close() {
	close(p.closed)
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve forwards one connection in both directions until one of them ends.
func (p *Proxy) serve(client net.Conn) {
	defer p.forget(client)
	if !p.keep(client) || !p.passes() {
		return
	}
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer p.forget(server)
	if !p.keep(server) {
		return
	}
	var other sync.WaitGroup
	other.Go(func() { p.forward(client, server) })
	p.forward(server, client)
	other.Wait()
}

func (p *Proxy) forward(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.passes() {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// passes waits until everything passes, and tells whether that came before the end.
func (p *Proxy) passes() bool {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	select {
	case <-open:
		return true
	case <-p.closed:
		return false
	}
}

func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
