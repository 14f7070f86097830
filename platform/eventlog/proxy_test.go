package eventlog_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// cutting is where a proxy cuts its connections.
type cutting int

const (
	cutBoth   cutting = iota // both sides at once, whatever is under way
	cutAnswer                // the client's side, when the server's next answer comes
	cutSilent                // nobody is told: the client hears nothing any more, the server keeps its connection
)

var cuts = []cutting{cutBoth, cutAnswer, cutSilent}

// proxy stands between a log and PostgreSQL and loses connections when it is told to.
type proxy struct {
	url      string
	listener net.Listener
	target   string

	// pid, if not 0, is what clients are told is the process of the server that serves them.
	pid atomic.Uint32

	mu    sync.Mutex
	links map[*link]struct{}
	wg    sync.WaitGroup
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	mu             sync.Mutex
	dropping       bool // the server's next answer ends the client's connection
	silent         bool
}

func startProxy(t testing.TB, dsn string) *proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, target: u.Host, links: make(map[*link]struct{})}
	u.Host = l.Addr().String()
	p.url = u.String()
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.each(func(l *link) { l.close() })
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &link{client: client, server: server}
		p.mu.Lock()
		p.links[l] = struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { _, _ = io.Copy(server, client); l.clientGone() })
		p.wg.Go(func() {
			l.answer(p.pid.Load())
			l.close()
			p.mu.Lock()
			delete(p.links, l)
			p.mu.Unlock()
		})
	}
}

// answer copies what the server says, as long as it may.
func (l *link) answer(pid uint32) {
	buf := make([]byte, 32<<10)
	for {
		n, err := l.server.Read(buf)
		l.mu.Lock()
		dropping, silent := l.dropping, l.silent
		l.mu.Unlock()
		if dropping || err != nil && !silent {
			return
		}
		if err != nil {
			return
		}
		if pid != 0 && replacePID(buf[:n], pid) {
			pid = 0
		}
		if !silent {
			if _, err := l.client.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// replacePID changes the process in BackendKeyData, which the server sends once, after the log-in and together with what
// comes before and after it.
func replacePID(said []byte, pid uint32) bool {
	for len(said) >= 5 {
		size := 1 + int(binary.BigEndian.Uint32(said[1:]))
		if size > len(said) {
			return false
		}
		if said[0] == 'K' {
			binary.BigEndian.PutUint32(said[5:], pid)
			return true
		}
		said = said[size:]
	}
	return false
}

// clientGone passes the client's end on to the server, unless the network has swallowed it.
func (l *link) clientGone() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.silent {
		_ = l.server.Close()
	}
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

func (p *proxy) each(f func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		f(l)
	}
}

// cut loses all present connections.
func (p *proxy) cut(how cutting) {
	p.each(func(l *link) {
		l.mu.Lock()
		defer l.mu.Unlock()
		switch how {
		case cutBoth:
			l.close()
		case cutAnswer:
			l.dropping = true
		case cutSilent:
			l.silent = true
		}
	})
}

// cutClient ends the clients' side at once, and leaves the server to believe that all is well.
func (p *proxy) cutClient() {
	p.each(func(l *link) {
		l.mu.Lock()
		l.silent = true
		l.mu.Unlock()
		_ = l.client.Close()
	})
}
