package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// DefaultZone is in the top-level domain that is set aside for private use.
const DefaultZone = "hongyan.internal"

// DNSConfig says where the name server listens and for which zone it answers.
type DNSConfig struct {
	// Listen is host:port for UDP and TCP; empty is off.
	Listen string `yaml:"listen"`
	// Open lets everybody ask on an address that other machines reach.
	Open bool `yaml:"open"`
	// Zone is the domain below which it answers; empty is "hongyan.internal".
	Zone string `yaml:"zone"`
}

// Validate says what is wrong with c.
func (c DNSConfig) Validate() error {
	if c.Listen != "" {
		host, _, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return fmt.Errorf("dns listen %q: want host:port", c.Listen)
		}
		if !isLoopback(host) && !c.Open {
			return fmt.Errorf("dns listen %q: other machines reach it, and it tells everybody where all instances are: say dns.open "+
				"where only load balancers get there", c.Listen)
		}
	}
	if zone := c.zone(); zone == "." || strings.Contains(zone, `\`) || strings.ContainsAny(zone, " \t*") || len(zone) > 100 ||
		strings.Contains(zone, "..") || strings.HasPrefix(zone, ".") {
		return fmt.Errorf("dns zone %q: want a domain name of up to 100 characters", c.Zone)
	}
	if _, ok := dns.IsDomainName(c.zone()); !ok {
		return fmt.Errorf("dns zone %q: want a domain name", c.Zone)
	}
	return nil
}

// isLoopback tells whether only this machine reaches a host.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && address.IsLoopback())
}

// zone returns the zone in lower case with a dot at its end.
func (c DNSConfig) zone() string {
	if c.Zone == "" {
		return dns.Fqdn(DefaultZone)
	}
	return strings.ToLower(dns.Fqdn(c.Zone))
}
