package gateway

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// boundedListener bounds the writes of its connections.
type boundedListener struct{ net.Listener }

// Accept waits for the next connection.
func (l boundedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: c}, nil
}

// boundedConn ends where a client does not read: each write must be taken within writeTimeout. However long an answer
// is awaited, that costs nothing.
type boundedConn struct {
	net.Conn
	// early was read before anybody wanted it.
	early []byte
	// idle says that the connection came back and that nothing was read from it since.
	idle bool
}

// boundedOf returns the connection itself, where it comes from our listener, or one that bounds it.
func boundedOf(c net.Conn) *boundedConn {
	if bounded, ok := c.(*boundedConn); ok {
		return bounded
	}
	return &boundedConn{Conn: c}
}

// Write writes within the time.
func (c *boundedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Read reads what was put back first. The time for a header begins with the first byte after the connection came back.
func (c *boundedConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		n, err := c.Conn.Read(p)
		if n > 0 && c.idle {
			c.idle = false
			if e := c.Conn.SetReadDeadline(time.Now().Add(readHeaderTimeout)); err == nil {
				err = e
			}
		}
		return n, err
	}
	n := copy(p, c.early)
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}

// SetReadDeadline bounds reading. To net/http a connection that came back is a new one, whose first byte must come within
// readHeaderTimeout; its client knows it as one that is kept alive, and may leave it idle for idleTimeout.
func (c *boundedConn) SetReadDeadline(t time.Time) error {
	if now := time.Now(); c.idle && t.After(now) {
		t = now.Add(idleTimeout)
	}
	return c.Conn.SetReadDeadline(t)
}

// comesBack tells a connection that its next reader is a server that takes it for a new one. Nobody may be reading.
func (c *boundedConn) comesBack() { c.idle = len(c.early) == 0 }

// unread puts bytes back, behind those that were put back before. Nobody may be reading.
func (c *boundedConn) unread(p []byte) { c.early = append(c.early, p...) }

// lot is where connections that were taken from the server come back to it: a net.Listener that accepts them.
type lot struct {
	// base is the context of what happens on them.
	base    context.Context //nolint:containedctx // as http.Server's BaseContext: it ends with the listener
	address net.Addr
	// listener tells whether clients are to open their next connection elsewhere.
	listener *Listener
	conns    chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

// lotKey finds the lot of a request's listener in its context.
type lotKey struct{}

func newLot(base context.Context, address net.Addr, listener *Listener) *lot {
	return &lot{base: base, address: address, listener: listener, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// leaves tells whether the client of a request is to be sent away.
func (l *lot) leaves() bool { return l != nil && l.listener.leaving.Load() }

// closes tells whether nothing is to wait there any more.
func (l *lot) closes() bool { return l != nil && l.listener.closing.Load() }

// lotOf returns the lot of a request's listener; nil where it has none.
func lotOf(r *http.Request) *lot {
	l, _ := r.Context().Value(lotKey{}).(*lot)
	return l
}

// put gives a connection back. One that comes too late is closed.
func (l *lot) put(c *boundedConn) {
	c.comesBack()
	select {
	case l.conns <- c:
	case <-l.closed:
		_ = c.Close() // nobody is served any more
	}
}

// Accept waits for the next connection that comes back.
func (l *lot) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and closes what comes back later.
func (l *lot) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address of the real listener.
func (l *lot) Addr() net.Addr { return l.address }
