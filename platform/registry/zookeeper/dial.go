package zookeeper

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/zeromicro/go-zero/core/logx"
)

// hosts hands the client one endpoint after the other. The library's own provider looks names up once, and fails when the
// name server is away at that moment.
type hosts struct {
	mu      sync.Mutex
	servers []string
	next    int
	tried   int
}

var _ zk.HostProvider = (*hosts)(nil)

// Init takes the servers, in an order that the client has shuffled.
func (h *hosts) Init(servers []string) error {
	h.servers = servers
	return nil
}

// Len returns how many servers there are.
func (h *hosts) Len() int { return len(h.servers) }

// Next returns the next server, and whether all were tried since the last success: the client then waits a second.
func (h *hosts) Next() (server string, retryStart bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	server = h.servers[h.next%len(h.servers)]
	retryStart = h.tried >= len(h.servers)
	if retryStart {
		h.tried = 0
	}
	h.next++
	h.tried++
	return server, retryStart
}

// Connected is called after a success.
func (h *hosts) Connected() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tried = 1 // the server that may be lost next
}

// dialer connects until ctx ends, which ends the connections too.
func dialer(ctx context.Context, patience time.Duration) zk.Dialer {
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		c, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		wrapped := &conn{Conn: c, patience: patience}
		wrapped.stop = context.AfterFunc(ctx, func() { _ = c.Close() })
		return wrapped, nil
	}
}

// conn does not wait long for a server that accepts connections and says nothing: the library gives the first answer ten times the
// time that it gives others.
type conn struct {
	net.Conn
	patience time.Duration
	answered atomic.Bool
	stop     func() bool
}

// SetReadDeadline bounds the wait for the first answer.
func (c *conn) SetReadDeadline(t time.Time) error {
	if latest := time.Now().Add(c.patience); !c.answered.Load() && t.After(latest) {
		t = latest
	}
	return c.Conn.SetReadDeadline(t)
}

// Read reads from the server.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.answered.Store(true)
	}
	return n, err
}

// Close closes the connection.
func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// logger takes what the library says: with ZooKeeper away, a line a second.
type logger struct{}

// Printf logs for those who look closely.
func (logger) Printf(format string, args ...any) {
	logx.Debugf("registry: zookeeper: "+format, args...)
}
