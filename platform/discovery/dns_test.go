package discovery_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"hongyan/platform/discovery"
	"hongyan/platform/registry"
)

// ask asks a name server; change may change the question.
func ask(t *testing.T, addr, network, name string, kind uint16, change func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, kind)
	if change != nil {
		change(m)
	}
	client := &dns.Client{Net: network, Timeout: patience, UDPSize: dns.MaxMsgSize}
	reply, _, err := client.Exchange(m, addr)
	require.NoError(t, err)
	require.Equal(t, m.Question, reply.Question)
	return reply
}

// texts writes records down without their headers' spaces.
func texts(records []dns.RR) []string {
	list := []string{}
	for _, r := range records {
		if r.Header().Rrtype != dns.TypeOPT {
			list = append(list, strings.Join(strings.Fields(r.String()), " "))
		}
	}
	return list
}

const soa = "test.internal. 1 IN SOA ns.test.internal. hostmaster.test.internal. 1 3600 600 86400 1"

func TestDNS(t *testing.T) {
	a := instance("gateway", "A1", "192.0.2.1:8008", "192.0.2.1:9")
	b := instance("gateway", "b2", "[2001:db8::1]:8008", "192.0.2.7:9") // gRPC elsewhere
	b.Weight = 3
	c := instance("gateway", "c3", "host.example:80", "")
	draining := instance("gateway", "d4", "192.0.2.4:8008", "")
	draining.State = registry.Draining
	strange := instance("strange", "e5", "nowhere", "0.0.0.0:1")
	long := instance("strange", strings.Repeat("x", 64), "192.0.2.5:1", "")
	d, _ := directory(t, a, b, c, draining, strange, long)
	addr := startDNS(t, d)
	for name, test := range map[string]struct {
		name  string
		kind  uint16
		rcode int
		want  []string // in any order
		extra []string
	}{
		"SRV": {"_http._tcp.gateway.test.internal.", dns.TypeSRV, dns.RcodeSuccess, []string{
			"_http._tcp.gateway.test.internal. 1 IN SRV 0 256 8008 ip-192-0-2-1-8008.gateway.test.internal.",
			"_http._tcp.gateway.test.internal. 1 IN SRV 0 768 8008 ip-2001-0db8-0000-0000-0000-0000-0000-0001-8008.gateway.test.internal.",
			"_http._tcp.gateway.test.internal. 1 IN SRV 0 256 80 host.example.",
		}, []string{"ip-192-0-2-1-8008.gateway.test.internal. 1 IN A 192.0.2.1", "ip-2001-0db8-0000-0000-0000-0000-0000-0001-8008.gateway.test.internal. 1 IN AAAA 2001:db8::1"}},
		"SRV of gRPC": {"_grpc._tcp.gateway.test.internal.", dns.TypeSRV, dns.RcodeSuccess, []string{
			"_grpc._tcp.gateway.test.internal. 1 IN SRV 0 256 9 ip-192-0-2-1-9.gateway.test.internal.",
			"_grpc._tcp.gateway.test.internal. 1 IN SRV 0 768 9 ip-192-0-2-7-9.gateway.test.internal.",
		}, []string{"ip-192-0-2-1-9.gateway.test.internal. 1 IN A 192.0.2.1", "ip-192-0-2-7-9.gateway.test.internal. 1 IN A 192.0.2.7"}},
		"any case": {"_HTTP._tcp.STRANGE.TEST.internal.", dns.TypeSRV, dns.RcodeSuccess,
			[]string{"_HTTP._tcp.STRANGE.TEST.internal. 1 IN SRV 0 256 1 ip-192-0-2-5-1.strange.test.internal."},
			[]string{"ip-192-0-2-5-1.strange.test.internal. 1 IN A 192.0.2.5"}},
		"no such address":      {"_grpc._tcp.strange.test.internal.", dns.TypeSRV, dns.RcodeSuccess, nil, nil},
		"SRV has no address":   {"_http._tcp.gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, nil, nil},
		"between":              {"_tcp.gateway.test.internal.", dns.TypeSRV, dns.RcodeSuccess, nil, nil},
		"unknown protocol":     {"_smtp._tcp.gateway.test.internal.", dns.TypeSRV, dns.RcodeNameError, nil, nil},
		"over UDP":             {"_http._udp.gateway.test.internal.", dns.TypeSRV, dns.RcodeNameError, nil, nil},
		"unknown service":      {"_http._tcp.nobody.test.internal.", dns.TypeSRV, dns.RcodeNameError, nil, nil},
		"an instance":          {"a1.gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, []string{"a1.gateway.test.internal. 1 IN A 192.0.2.1"}, nil},
		"its other family":     {"a1.gateway.test.internal.", dns.TypeAAAA, dns.RcodeSuccess, nil, nil},
		"IPv6":                 {"b2.gateway.test.internal.", dns.TypeAAAA, dns.RcodeSuccess, []string{"b2.gateway.test.internal. 1 IN AAAA 2001:db8::1"}, nil},
		"its gRPC":             {"grpc.b2.gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, []string{"grpc.b2.gateway.test.internal. 1 IN A 192.0.2.7"}, nil},
		"an address":           {"IP-192-0-2-1-8008.gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, []string{"IP-192-0-2-1-8008.gateway.test.internal. 1 IN A 192.0.2.1"}, nil},
		"an address of gRPC":   {"ip-192-0-2-7-9.gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, []string{"ip-192-0-2-7-9.gateway.test.internal. 1 IN A 192.0.2.7"}, nil},
		"another's address":    {"ip-192-0-2-5-1.gateway.test.internal.", dns.TypeA, dns.RcodeNameError, nil, nil},
		"another port":         {"ip-192-0-2-1-1.gateway.test.internal.", dns.TypeA, dns.RcodeNameError, nil, nil},
		"below an address":     {"grpc.ip-192-0-2-1-8008.gateway.test.internal.", dns.TypeA, dns.RcodeNameError, nil, nil},
		"one that drains":      {"d4.gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, []string{"d4.gateway.test.internal. 1 IN A 192.0.2.4"}, nil},
		"one with a host name": {"c3.gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, nil, nil},
		"no such instance":     {"z.gateway.test.internal.", dns.TypeA, dns.RcodeNameError, nil, nil},
		"too deep":             {"x.y.a1.gateway.test.internal.", dns.TypeA, dns.RcodeNameError, nil, nil},
		"a service":            {"gateway.test.internal.", dns.TypeA, dns.RcodeSuccess, []string{"gateway.test.internal. 1 IN A 192.0.2.1"}, nil},
		"its IPv6":             {"gateway.test.internal.", dns.TypeAAAA, dns.RcodeSuccess, []string{"gateway.test.internal. 1 IN AAAA 2001:db8::1"}, nil},
		"SOA":                  {"test.internal.", dns.TypeSOA, dns.RcodeSuccess, []string{soa}, nil},
		"NS":                   {"test.internal.", dns.TypeNS, dns.RcodeSuccess, []string{"test.internal. 1 IN NS ns.test.internal."}, []string{"ns.test.internal. 1 IN A 127.0.0.1"}},
		"the zone's address":   {"test.internal.", dns.TypeA, dns.RcodeSuccess, nil, nil},
		"the name server":      {"ns.test.internal.", dns.TypeA, dns.RcodeSuccess, []string{"ns.test.internal. 1 IN A 127.0.0.1"}, nil},
		"below it":             {"x.ns.test.internal.", dns.TypeA, dns.RcodeNameError, nil, nil},
		"any type":             {"gateway.test.internal.", dns.TypeANY, dns.RcodeSuccess, []string{`gateway.test.internal. 1 IN HINFO "RFC8482" ""`}, nil},
		"escapes":              {`a1\.gateway.test.internal.`, dns.TypeA, dns.RcodeNameError, nil, nil},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(name+" over "+network, func(t *testing.T) {
				reply := ask(t, addr, network, test.name, test.kind, nil)
				require.Equal(t, dns.RcodeToString[test.rcode], dns.RcodeToString[reply.Rcode])
				require.True(t, reply.Authoritative)
				require.False(t, reply.RecursionAvailable)
				require.False(t, reply.Truncated)
				require.ElementsMatch(t, test.want, texts(reply.Answer))
				require.ElementsMatch(t, test.extra, texts(reply.Extra))
				if len(test.want) == 0 {
					require.Equal(t, []string{soa}, texts(reply.Ns), "says for how long nothing is there")
				} else {
					require.Empty(t, reply.Ns)
				}
			})
		}
	}
}

func TestDNSRefuses(t *testing.T) {
	d, _ := directory(t, instance("gateway", "a", "192.0.2.1:1", ""))
	addr := startDNS(t, d)
	for name, test := range map[string]struct {
		name   string
		kind   uint16
		change func(*dns.Msg)
		rcode  int
	}{
		"other zones":     {"example.org.", dns.TypeA, nil, dns.RcodeRefused},
		"the root":        {".", dns.TypeNS, nil, dns.RcodeRefused},
		"longer names":    {"nottest.internal.", dns.TypeA, nil, dns.RcodeRefused},
		"transfers":       {"test.internal.", dns.TypeAXFR, nil, dns.RcodeRefused},
		"other classes":   {"test.internal.", dns.TypeA, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused},
		"other questions": {"test.internal.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, dns.RcodeNotImplemented},
		"EDNS of later": {"test.internal.", dns.TypeA, func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			m.IsEdns0().SetVersion(1)
		}, dns.RcodeBadVers},
	} {
		t.Run(name, func(t *testing.T) {
			reply := ask(t, addr, "udp", test.name, test.kind, test.change)
			require.Equal(t, dns.RcodeToString[test.rcode], dns.RcodeToString[reply.Rcode])
			require.Empty(t, reply.Answer)
		})
	}
}

// length is what a message takes on the wire.
func length(m *dns.Msg) int {
	m.Compress = true
	return m.Len()
}

// Answers are as long as the client takes over UDP: addresses are left out first, then it is told to ask over TCP.
func TestDNSFits(t *testing.T) {
	var instances []registry.Instance
	for n := range 60 {
		instances = append(instances, instance("gateway", fmt.Sprintf("instance-%d", n), fmt.Sprintf("192.0.2.%d:80", n+1), ""))
	}
	d, _ := directory(t, instances...)
	addr := startDNS(t, d)
	size := func(size uint16) func(*dns.Msg) { return func(m *dns.Msg) { m.SetEdns0(size, false) } }
	const name = "_http._tcp.gateway.test.internal."
	short := ask(t, addr, "udp", name, dns.TypeSRV, nil)
	require.True(t, short.Truncated)
	require.NotEmpty(t, short.Answer)
	require.LessOrEqual(t, length(short), dns.MinMsgSize)
	require.Nil(t, short.IsEdns0(), "who does not speak it is not spoken to in it")
	longer := ask(t, addr, "udp", name, dns.TypeSRV, size(1232))
	require.True(t, longer.Truncated)
	require.Greater(t, len(longer.Answer), len(short.Answer))
	require.LessOrEqual(t, length(longer), 1232)
	require.NotNil(t, longer.IsEdns0())
	without := ask(t, addr, "udp", name, dns.TypeSRV, size(60000))
	require.False(t, without.Truncated)
	require.Len(t, without.Answer, 60)
	require.Empty(t, texts(without.Extra))
	require.LessOrEqual(t, length(without), 4096)
	whole := ask(t, addr, "tcp", name, dns.TypeSRV, nil)
	require.False(t, whole.Truncated)
	require.Len(t, whole.Answer, 60)
	require.Len(t, whole.Extra, 60)
}

// Go's own resolver, which asks again over TCP, finds instances as they come and go.
func TestDNSFollows(t *testing.T) {
	d, r := directory(t, instance("gateway", "a", "127.0.0.1:1", ""), instance("gateway", "b", "127.0.0.2:1", ""))
	addr := startDNS(t, d)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	finds := func(want ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			_, found, err := resolver.LookupSRV(t.Context(), "http", "tcp", "gateway.test.internal.")
			require.NoError(t, err)
			got := []string{}
			for _, s := range found {
				addresses, err := resolver.LookupHost(t.Context(), s.Target)
				require.NoError(t, err)
				got = append(got, net.JoinHostPort(addresses[0], fmt.Sprint(s.Port)))
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		}, patience, time.Millisecond)
	}
	finds("127.0.0.1:1", "127.0.0.2:1")
	leaves := instance("gateway", "a", "127.0.0.1:1", "")
	leaves.State = registry.Draining
	require.NoError(t, r.Put(t.Context(), leaves))
	finds("127.0.0.2:1")
	for n := range 40 {
		require.NoError(t, r.Put(t.Context(), instance("gateway", fmt.Sprintf("further-%d", n), fmt.Sprintf("127.0.1.%d:1", n), "")))
	}
	require.Eventually(t, func() bool {
		_, found, err := resolver.LookupSRV(t.Context(), "http", "tcp", "gateway.test.internal.")
		require.NoError(t, err)
		return len(found) == 41
	}, patience, time.Millisecond)
}

func TestDNSRotatesAddresses(t *testing.T) {
	d, _ := directory(t, instance("gateway", "a", "192.0.2.1:1", ""), instance("gateway", "b", "192.0.2.2:1", ""))
	addr := startDNS(t, d)
	first := map[string]bool{}
	for range 2 {
		first[texts(ask(t, addr, "udp", "gateway.test.internal.", dns.TypeA, nil).Answer)[0]] = true
	}
	require.Len(t, first, 2)
}

func TestDNSConfig(t *testing.T) {
	for _, c := range []discovery.DNSConfig{
		{Listen: "8053"}, {Listen: ":8053"}, {Listen: "0.0.0.0:53"}, {Listen: "192.0.2.1:53"}, {Listen: "name.example:53"}, {Zone: "."}, {Zone: "a..b"}, {Zone: ".a"}, {Zone: "a b"}, {Zone: `a\.b`}, {Zone: "*.a"},
		{Zone: strings.Repeat("a", 64)}, {Zone: strings.Repeat("a.", 60)},
	} {
		require.Error(t, c.Validate(), "%+v", c)
		_, err := discovery.NewDNS(c, nil, time.Now)
		require.Error(t, err)
	}
	for _, c := range []discovery.DNSConfig{
		{}, {Listen: ":53", Zone: "example.org.", Open: true}, {Listen: "[::1]:8053", Zone: "local"}, {Listen: "localhost:53"}, {Listen: "127.1.2.3:0"},
	} {
		require.NoError(t, c.Validate())
	}
	off, err := discovery.NewDNS(discovery.DNSConfig{}, nil, time.Now)
	require.NoError(t, err)
	addr, err := off.Listen(t.Context())
	require.NoError(t, err)
	require.Empty(t, addr)
	running(t, off.Run)
}

// One address cannot have all connections: what it opens beyond its share is closed, and others are answered meanwhile.
func TestDNSConnectionsAreShared(t *testing.T) {
	d, _ := directory(t, instance("gateway", "a", "127.0.0.1:1", ""))
	addr := startDNS(t, d)
	from := func(ip string) net.Conn {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).DialContext(t.Context(), "tcp", addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	name := "_http._tcp.gateway.test.internal."
	asks := func(c net.Conn) error {
		client := &dns.Client{Net: "tcp", Timeout: patience}
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeSRV)
		_, _, err := client.ExchangeWithConn(m, &dns.Conn{Conn: c})
		return err
	}
	const share, more = 20, 110 // more than there are for all
	greedy := make([]net.Conn, share)
	for n := range greedy {
		greedy[n] = from("127.0.0.2")
		require.NoError(t, asks(greedy[n]))
	}
	for n := range more {
		c := from("127.0.0.2")
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err := c.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it is closed")
		require.NoError(t, asks(greedy[n%share]), "a connection within the share stays")
	}
	require.NoError(t, asks(from("127.0.0.3")))
	require.NoError(t, greedy[0].Close())
	require.Eventually(t, func() bool { return asks(from("127.0.0.2")) == nil }, patience, time.Millisecond)
}

// A port that is taken is an error of the start.
func TestDNSPortTaken(t *testing.T) {
	d, _ := directory(t)
	taken, err := discovery.NewDNS(discovery.DNSConfig{Listen: startDNS(t, d)}, d, time.Now)
	require.NoError(t, err)
	_, err = taken.Listen(t.Context())
	require.Error(t, err)
	require.Error(t, taken.Run(t.Context()))
}
