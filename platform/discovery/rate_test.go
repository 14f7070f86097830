package discovery_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"hongyan/platform/discovery"
	"hongyan/platform/registry"
)

// asker is somebody who asks from an address.
type asker struct {
	dns.ResponseWriter
	local, remote net.Addr
	reply         *dns.Msg
}

func (a *asker) LocalAddr() net.Addr  { return a.local }
func (a *asker) RemoteAddr() net.Addr { return a.remote }

func (a *asker) WriteMsg(m *dns.Msg) error {
	a.reply = m
	return nil
}

func overUDP(ip string) *asker {
	return &asker{local: &net.UDPAddr{Port: 53}, remote: &net.UDPAddr{IP: net.ParseIP(ip), Port: 1}}
}

func overTCP(ip string) *asker {
	return &asker{local: &net.TCPAddr{Port: 53}, remote: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
}

// many is a name server that knows sixty gateways, and asks it for them, with as long an answer as it will give.
func many(t *testing.T, now func() time.Time) func(*asker) *dns.Msg {
	t.Helper()
	var instances []registry.Instance
	for n := range 60 {
		instances = append(instances, instance("gateway", fmt.Sprintf("g%d", n), fmt.Sprintf("192.0.2.%d:80", n+1), ""))
	}
	d, _ := directory(t, instances...)
	s, err := discovery.NewDNS(discovery.DNSConfig{Zone: "test.internal"}, d, now)
	require.NoError(t, err)
	return func(a *asker) *dns.Msg {
		question := new(dns.Msg).SetQuestion("_http._tcp.gateway.test.internal.", dns.TypeSRV)
		question.SetEdns0(dns.MaxMsgSize, false)
		s.Answer(a, question)
		require.Equal(t, question.Question, a.reply.Question)
		require.Equal(t, question.Id, a.reply.Id)
		return a.reply
	}
}

// What other machines get over UDP fits into a packet: nobody can have much sent to somebody else.
func TestDNSSize(t *testing.T) {
	ask := many(t, time.Now)
	for _, test := range []struct {
		from  *asker
		limit int
		cut   bool
	}{
		{overUDP("203.0.113.1"), 1232, true}, {overUDP("2001:db8::1"), 1232, true},
		{overUDP("127.0.0.1"), 4096, false}, {overUDP("::1"), 4096, false}, {overTCP("203.0.113.1"), dns.MaxMsgSize, false},
	} {
		reply := ask(test.from)
		require.LessOrEqual(t, length(reply), test.limit, test.from.remote)
		require.Equal(t, test.cut, reply.Truncated, test.from.remote)
		require.NotEmpty(t, reply.Answer)
	}
}

// Nobody has more sent to a network than is asked from there, however many of its addresses are said to ask; over TCP, where
// nobody lies, and on loopback everything is answered.
func TestDNSRate(t *testing.T) {
	const burst, perSecond, networks = 200, 50, 4096
	now := time.Unix(0, 0)
	ask := many(t, func() time.Time { return now })
	whole := func(from *asker) bool {
		reply := ask(from)
		if len(reply.Answer) == 0 {
			require.True(t, reply.Truncated, "whoever is there asks over TCP")
			require.LessOrEqual(t, length(reply), length(new(dns.Msg).SetQuestion("_http._tcp.gateway.test.internal.", dns.TypeSRV)))
		}
		return len(reply.Answer) > 0
	}
	answered := func(address func(n int) string) (count int) {
		for n := range 2 * burst {
			if whole(overUDP(address(n))) {
				count++
			}
		}
		return count
	}
	four := func(n int) string { return fmt.Sprintf("203.0.113.%d", n%250) }
	require.Equal(t, burst, answered(four))
	require.Equal(t, burst, answered(func(n int) string { return fmt.Sprintf("2001:db8:0:%x::1", n%256) }))
	require.False(t, whole(overUDP("203.0.113.251")))
	require.True(t, whole(overTCP("203.0.113.251")))
	require.Equal(t, 2*burst, answered(func(int) string { return "127.0.0.1" }))
	now = now.Add(time.Second)
	require.Equal(t, perSecond, answered(four))

	// No more networks than there is room for are remembered, and those of before are forgotten in time.
	for n := range networks - 2 {
		require.True(t, whole(overUDP(fmt.Sprintf("10.%d.%d.1", n/256, n%256))))
	}
	require.False(t, whole(overUDP("198.51.100.1")))
	now = now.Add(time.Minute)
	require.True(t, whole(overUDP("198.51.100.1")))
}
