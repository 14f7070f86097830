package hop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/platform/registry"
)

const (
	// dialTimeout bounds making a connection, TLS included.
	dialTimeout = 3 * time.Second
	// maxConns is how many connections one instance may get, and maxExclusive how many that take one request at a time.
	maxConns     = 64
	maxExclusive = 1024
	// idleFor is how long a connection without requests is kept.
	idleFor = time.Minute
)

var errPoolClosed = errors.New("the connections are closed")

// pool has the connections to one instance. They are not net/http's own pool's: that one repeats requests by itself, and
// here it must be known what was sent.
type pool struct {
	instance registry.Instance
	kind     kind
	addr     string
	now      func() time.Time
	// lost is called when a connection ends; it must not wait.
	lost func()

	mu sync.Mutex
	// exclusive says that connections take one request at a time; over TLS that is known with the first one.
	exclusive bool
	conns     []*conn // replaced, never changed
	dial      *dial   // the one under way
	count     int     // connections, with those being made
	changed   chan struct{}
	waiting   int
	closed    bool
	blamed    time.Time // when the instance was last avoided for a failure
	dials     sync.WaitGroup
}

// conn is one connection.
type conn struct {
	*http.ClientConn
	// exclusive says that it takes one request at a time.
	exclusive bool
	used      atomic.Int64 // when it was last taken, in ns
}

// dial is a connection that is being made.
type dial struct {
	done chan struct{}
	conn *conn
	err  error
}

func newPool(k kind, i registry.Instance, now func() time.Time, lost func()) *pool {
	return &pool{
		instance: i, kind: k, addr: i.HTTP, now: now, lost: lost, exclusive: k.exclusive, changed: make(chan struct{}),
	}
}

// acquire returns a connection with a slot reserved for one request, which RoundTrip uses up. fresh wants one that
// carried no request where a connection takes one at a time: its end could cross the request. An error says that
// nothing was sent.
func (p *pool) acquire(ctx context.Context, fresh bool) (*conn, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, errPoolClosed
		}
		conns := p.conns
		changed := p.changed
		p.mu.Unlock()
		if c := p.reserve(conns, fresh); c != nil {
			return c, nil
		}
		d, wait := p.more(len(conns))
		if d == nil && wait {
			if err := p.await(ctx, changed); err != nil {
				return nil, err
			}
			continue
		}
		if d == nil {
			continue
		}
		select {
		case <-d.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if d.err != nil {
			return nil, d.err
		}
		// The first to come may have a fresh one; others look for themselves.
		if d.conn.used.CompareAndSwap(0, p.now().UnixNano()) && d.conn.Reserve() == nil {
			return d.conn, nil
		}
	}
}

// reserve takes a slot on the least busy connection, or, where it has none left, on any.
func (p *pool) reserve(conns []*conn, fresh bool) *conn {
	try := func(c *conn) bool {
		if fresh && c.exclusive && c.used.Load() != 0 || c.Reserve() != nil {
			return false
		}
		c.used.Store(p.now().UnixNano())
		return true
	}
	if len(conns) > 1 && !conns[0].exclusive {
		best, least := conns[0], math.MaxInt
		for _, c := range conns {
			if n := c.InFlight(); n < least && c.Available() > 0 {
				best, least = c, n
			}
		}
		if try(best) {
			return best
		}
	}
	for _, c := range conns {
		if try(c) {
			return c
		}
	}
	return nil
}

// more returns a connection that is being made, or begins one; or tells to wait for a free slot. known is how many
// connections the caller has seen.
func (p *pool) more(known int) (d *dial, wait bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := maxConns
	if p.exclusive {
		limit = maxExclusive
	}
	switch {
	case p.closed || len(p.conns) > known:
		return nil, false // look again
	case p.dial != nil && !p.exclusive:
		return p.dial, false
	case p.count >= limit:
		return nil, true
	}
	d = &dial{done: make(chan struct{})}
	p.dial = d
	p.count++
	p.dials.Go(func() { p.connect(d) })
	return d, false
}

// connect makes a connection.
func (p *pool) connect(d *dial) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	cc, err := p.kind.transport.NewClientConn(ctx, p.kind.scheme, p.addr)
	p.mu.Lock()
	if p.dial == d {
		p.dial = nil
	}
	if err == nil && p.closed {
		err = errPoolClosed
		defer func() { _ = cc.Close() }()
	}
	if err != nil {
		p.count--
		d.err = fmt.Errorf("connect to %s: %w", p.addr, err)
		p.mu.Unlock()
		close(d.done)
		return
	}
	d.conn = &conn{ClientConn: cc, exclusive: cc.Available() == 1}
	p.exclusive = d.conn.exclusive
	p.conns = append(slices.Clip(p.conns), d.conn)
	p.mu.Unlock()
	close(d.done)
	cc.SetStateHook(func(*http.ClientConn) { p.note(d.conn) })
	p.note(d.conn) // it may have ended already
}

// note is called when a connection has a free slot or has ended.
func (p *pool) note(c *conn) {
	ended := c.Err() != nil
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.conns, c); ended && i >= 0 {
		p.conns = slices.Delete(slices.Clone(p.conns), i, i+1)
		p.count--
		if !p.closed {
			p.lost()
		}
	}
	if p.waiting > 0 {
		p.waiting = 0
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// await waits until note was called after changed was taken.
func (p *pool) await(ctx context.Context, changed <-chan struct{}) error {
	p.mu.Lock()
	if p.changed == changed {
		p.waiting++
	}
	p.mu.Unlock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// blame tells whether the instance is to be avoided for a failure: not each of many requests that failed together says so.
func (p *pool) blame() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if !p.blamed.IsZero() && now.Sub(p.blamed) < 500*time.Millisecond {
		return false
	}
	p.blamed = now
	return true
}

// prune closes connections that were idle for long. HTTP/2 does so by itself.
func (p *pool) prune() {
	p.mu.Lock()
	conns := p.conns
	p.mu.Unlock()
	old := p.now().Add(-idleFor).UnixNano()
	for _, c := range conns {
		if c.exclusive && c.used.Load() < old && c.Reserve() == nil {
			_ = c.Close() // it carries nothing
		}
	}
}

// idle tells whether no request uses the connections.
func (p *pool) idle() bool {
	p.mu.Lock()
	conns := p.conns
	p.mu.Unlock()
	for _, c := range conns {
		if c.InFlight() > 0 {
			return false
		}
	}
	return true
}

// blind tells whether requests wait on connections without pings, which do not show that the instance hangs.
func (p *pool) blind() bool {
	p.mu.Lock()
	exclusive := p.exclusive
	p.mu.Unlock()
	return exclusive && !p.idle()
}

// cut closes the connections without pings; requests on them fail.
func (p *pool) cut() {
	p.mu.Lock()
	conns := p.conns
	p.mu.Unlock()
	for _, c := range conns {
		if c.exclusive {
			_ = c.Close() // requests on it see the error
		}
	}
}

// close closes the connections; requests under way fail.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	conns := p.conns
	p.conns = nil
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // requests on it see the error
	}
	p.dials.Wait()
}
