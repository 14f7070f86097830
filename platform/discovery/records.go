package discovery

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"hongyan/platform/registry"
)

// nameserver is the label of the server's own name.
const nameserver = "ns"

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
}

// soa is the record that also says for how long a name's absence may be kept.
func (z *zone) soa() *dns.SOA {
	return &dns.SOA{
		Hdr: header(z.name, dns.TypeSOA), Ns: nameserver + "." + z.name, Mbox: "hostmaster." + z.name,
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl, // nobody copies the zone
	}
}

// apex answers for the zone itself.
func (z *zone) apex(m *dns.Msg, q dns.Question) {
	switch q.Qtype {
	case dns.TypeSOA:
		m.Answer = []dns.RR{z.soa()}
	case dns.TypeNS:
		m.Answer = []dns.RR{&dns.NS{Hdr: header(q.Name, dns.TypeNS), Ns: nameserver + "." + z.name}}
		m.Extra = bothAddresses(nameserver+"."+z.name, z.self)
	}
}

// srv answers with the instances of a service that take calls, and their addresses besides.
func (z *zone) srv(m *dns.Msg, q dns.Question, service string, grpc bool) {
	instances := z.directory.Instances(service)
	heaviest := 1
	for _, i := range instances {
		heaviest = max(heaviest, i.Weight)
	}
	for _, i := range instances {
		host, text, err := net.SplitHostPort(address(i, grpc))
		if err != nil {
			continue // it has no such port
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			continue
		}
		target, ip := dns.Fqdn(host), ipOf(address(i, grpc))
		if ip != nil {
			target = nameOf(ip, text) + "." + i.Service + "." + z.name
		} else if net.ParseIP(host) != nil {
			continue // it does not say which
		}
		if _, ok := dns.IsDomainName(target); !ok {
			continue // the service's name is too long for a label
		}
		m.Answer = append(m.Answer, &dns.SRV{
			Hdr: header(q.Name, dns.TypeSRV), Weight: weight(i.Weight, heaviest), Port: uint16(port), Target: target,
		})
		m.Extra = append(m.Extra, bothAddresses(target, ip)...)
	}
}

// nameOf is the label of an address with its port (ip-192-0-2-1-8008). Whoever comes back at an address has the name that was
// there before, by which HAProxy knows that it is the same place; and no two places have one name, which it would take for one.
func nameOf(ip net.IP, port string) string {
	a, _ := netip.AddrFromSlice(ip) // an IP is one
	return "ip-" + strings.NewReplacer(".", "-", ":", "-").Replace(a.Unmap().StringExpanded()) + "-" + port
}

// weight spreads weights over the 16 bits of an SRV record: HAProxy looks at the upper 8 bits only.
func weight(weight, heaviest int) uint16 {
	weight = max(weight, 1)
	if heaviest < 256 {
		return uint16(weight * 256)
	}
	return uint16(max(1, int64(weight)*65535/int64(heaviest)))
}

// address returns the host:port of an instance's HTTP or gRPC port.
func address(i registry.Instance, grpc bool) string {
	if grpc {
		return i.GRPC
	}
	return i.HTTP
}

// ipOf returns the IP address of a host:port; nil where it has none that others can reach.
func ipOf(address string) net.IP {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.IsUnspecified() {
		return nil
	}
	return ip
}

// addresses returns those of the IP addresses that are of the family that is asked for.
func addresses(name string, kind uint16, ips []net.IP) []dns.RR {
	var records []dns.RR
	for _, ip := range ips {
		four := ip.To4()
		switch {
		case ip == nil || ip.IsUnspecified():
		case four != nil && kind == dns.TypeA:
			records = append(records, &dns.A{Hdr: header(name, dns.TypeA), A: four})
		case four == nil && kind == dns.TypeAAAA:
			records = append(records, &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: ip})
		}
	}
	return records
}

// bothAddresses is addresses for either family.
func bothAddresses(name string, ip net.IP) []dns.RR {
	return append(addresses(name, dns.TypeA, []net.IP{ip}), addresses(name, dns.TypeAAAA, []net.IP{ip})...)
}
