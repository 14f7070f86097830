package cluster

import (
	"net"
	"net/netip"
)

// public is where others reach a listener of this process.
func (c Config) public(a net.Addr) string {
	if a == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return ""
	}
	if address, err := netip.ParseAddr(host); err == nil && address.IsUnspecified() {
		host = c.host()
	}
	return net.JoinHostPort(host, port)
}

// host is how others call this machine: what is configured, what it listens on, or its first address that is not loopback.
func (c Config) host() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	host, _, _ := net.SplitHostPort(c.Listen) // Validate has read it
	if host == "localhost" {
		return "127.0.0.1"
	}
	if address, err := netip.ParseAddr(host); host != "" && (err != nil || !address.IsUnspecified()) {
		return host
	}
	addresses, _ := net.InterfaceAddrs() // without any there is loopback
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			return ip.IP.String()
		}
	}
	return "127.0.0.1"
}
