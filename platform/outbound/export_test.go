package outbound

import "net/netip"

// Permits tells whether an address may be dialled.
func Permits(c *Client, addr netip.Addr) bool { return c.permits(addr) }
