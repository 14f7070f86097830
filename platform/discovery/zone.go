package discovery

import (
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"

	"hongyan/platform/registry"
)

// ttl is how long answers may be kept, in seconds.
const ttl = 1

// zone answers questions about one domain:
//
//	_http._tcp.SERVICE.ZONE  SRV   the instances of a service that take calls; _grpc._tcp likewise
//	SERVICE.ZONE             A     the addresses of those instances
//	BOOTID.SERVICE.ZONE      A     the address of one instance, whatever its state; grpc.BOOTID.SERVICE.ZONE
//	                               that of its gRPC port
//	ip-A-B-C-D-PORT.SERVICE.ZONE  A  the address A.B.C.D, if an instance has it with that port
//	ZONE                     SOA, NS
type zone struct {
	name      string // in lower case, with a dot at the end
	directory *registry.Directory
	self      net.IP // where it listens
	turn      atomic.Uint32
}

// reply answers one message.
func (z *zone) reply(request *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(request)
	m.RecursionAvailable = false
	switch {
	case request.Opcode != dns.OpcodeQuery:
		return m.SetRcode(request, dns.RcodeNotImplemented)
	case len(request.Question) != 1:
		return m.SetRcode(request, dns.RcodeFormatError)
	}
	q := request.Question[0]
	below, ok := z.below(q.Name)
	if !ok || q.Qclass != dns.ClassINET || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR {
		return m.SetRcode(request, dns.RcodeRefused)
	}
	m.Authoritative = true
	there := z.answer(m, q, below)
	if !there {
		m.Rcode = dns.RcodeNameError
	}
	if there && q.Qtype == dns.TypeANY { // RFC 8482
		m.Answer = []dns.RR{&dns.HINFO{Hdr: header(q.Name, dns.TypeHINFO), Cpu: "RFC8482"}}
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{z.soa()}
	}
	return m
}

// below returns the labels of a name before the zone.
func (z *zone) below(name string) (labels []string, ok bool) {
	lower := strings.ToLower(name)
	if lower == z.name {
		return nil, true
	}
	rest, ok := strings.CutSuffix(lower, "."+z.name)
	if !ok || strings.Contains(rest, `\`) { // an escape: not a name of ours, and labels cannot be cut at its dots
		return []string{`\`}, ok
	}
	return strings.Split(rest, "."), true
}

// answer adds what is asked for, and tells whether the name is there.
func (z *zone) answer(m *dns.Msg, q dns.Question, labels []string) (there bool) {
	if len(labels) == 0 {
		z.apex(m, q)
		return true
	}
	last := labels[len(labels)-1]
	if last == nameserver {
		if len(labels) == 1 {
			m.Answer = addresses(q.Name, q.Qtype, []net.IP{z.self})
		}
		return len(labels) == 1
	}
	service, ok := z.service(last)
	if !ok {
		return false
	}
	switch rest := labels[:len(labels)-1]; {
	case len(rest) == 0:
		m.Answer = addresses(q.Name, q.Qtype, z.ips(service))
		return true
	case len(rest) == 1 && rest[0] == "_tcp":
		return true // nothing but what is below it
	case len(rest) == 2 && rest[1] == "_tcp" && (rest[0] == "_http" || rest[0] == "_grpc"):
		if q.Qtype == dns.TypeSRV {
			z.srv(m, q, service, rest[0] == "_grpc")
		}
		return true
	case len(rest) == 1, len(rest) == 2 && rest[0] == "grpc":
		i, ok := z.instance(service, rest[len(rest)-1])
		if ok {
			m.Answer = addresses(q.Name, q.Qtype, []net.IP{ipOf(address(i, len(rest) == 2))})
			return true
		}
		ip := z.ipNamed(service, rest[0])
		if ip == nil || len(rest) == 2 {
			return false
		}
		m.Answer = addresses(q.Name, q.Qtype, []net.IP{ip})
		return true
	}
	return false
}

// service returns the name of a service as it is registered: names in DNS are the same in upper and lower case.
func (z *zone) service(label string) (string, bool) {
	for _, service := range z.directory.Services() {
		if strings.EqualFold(service, label) {
			return service, true
		}
	}
	return "", false
}

func (z *zone) instance(service, label string) (registry.Instance, bool) {
	for _, i := range z.directory.All(service) {
		if strings.EqualFold(i.BootID, label) {
			return i, true
		}
	}
	return registry.Instance{}, false
}

// ipNamed returns the address of a label that nameOf made, if an instance of the service has it, for HTTP or for gRPC.
func (z *zone) ipNamed(service, label string) net.IP {
	for _, i := range z.directory.All(service) {
		for _, a := range []string{i.HTTP, i.GRPC} {
			ip := ipOf(a)
			if _, port, _ := net.SplitHostPort(a); ip != nil && nameOf(ip, port) == label {
				return ip
			}
		}
	}
	return nil
}

// ips returns the addresses of the instances that take calls, each time beginning with another one.
func (z *zone) ips(service string) []net.IP {
	var ips []net.IP
	for _, i := range z.directory.Instances(service) {
		ip := ipOf(address(i, false))
		if ip != nil && !slices.ContainsFunc(ips, ip.Equal) {
			ips = append(ips, ip)
		}
	}
	if len(ips) == 0 {
		return nil
	}
	first := int(z.turn.Add(1) % uint32(len(ips)))
	return slices.Concat(ips[first:], ips[:first])
}
