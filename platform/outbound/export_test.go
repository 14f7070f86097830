package outbound

import "net/netip"

// Permits tells whether an address may be dialled.
func Permits(c *Client, addr netip.Addr) bool { return c.permits(addr) }

// Hosts counts the hosts of which places are kept.
func Hosts(c *Client) int {
	c.places.mu.Lock()
	defer c.places.mu.Unlock()
	return len(c.places.hosts)
}

// Waiting counts the requests that have a place at a host, or wait for one.
func Waiting(c *Client, host string) int {
	c.places.mu.Lock()
	defer c.places.mu.Unlock()
	if h := c.places.hosts[host]; h != nil {
		return h.users
	}
	return 0
}
