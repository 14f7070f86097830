package discovery

import (
	"net"
	"net/netip"
	"sync"
)

// fair is a listener that lets no address have more than its share of the connections: further ones are closed at once.
// Addresses of one IPv6 network of 64 bits, which is what one host may have, count as one.
type fair struct {
	net.Listener
	share int

	mu    sync.Mutex
	conns map[netip.Prefix]int // never 0
}

func newFair(listener net.Listener, share int) *fair {
	return &fair{Listener: listener, share: share, conns: map[netip.Prefix]int{}}
}

// Accept returns the next connection of somebody who has not too many.
func (f *fair) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := origin(c.RemoteAddr())
		if f.take(from) {
			return &fairConn{Conn: c, release: sync.OnceFunc(func() { f.release(from) })}, nil
		}
		_ = c.Close() // it has enough
	}
}

func (f *fair) take(from netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns[from] >= f.share {
		return false
	}
	f.conns[from]++
	return true
}

func (f *fair) release(from netip.Prefix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns[from]--; f.conns[from] == 0 {
		delete(f.conns, from)
	}
}

// fairConn is a connection that counts until it is closed.
type fairConn struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *fairConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// origin returns who connects, as far as shares go.
func origin(remote net.Addr) netip.Prefix {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return network(tcp.AddrPort().Addr(), 32, 64)
}

// network returns the network of an address, which has four bits where it is one of IPv4, and else six.
func network(address netip.Addr, four, six int) netip.Prefix {
	bits := six
	if address = address.Unmap().WithZone(""); address.Is4() {
		bits = four
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // it is none
	}
	return prefix
}
