package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
	"hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/service/gateway"
)

// gateways are several gateways on one bus, and a count of what they say on it.
func gateways(t *testing.T, n int, config func(*gateway.Config)) (edges []*edge, said *atomic.Int64) {
	b := memory.New(0)
	t.Cleanup(func() { require.NoError(t, b.Close()) }) // after the gateways
	said = &atomic.Int64{}
	sub, err := b.Subscribe("gateway.>", func(bus.Message) { said.Add(1) })
	require.NoError(t, err)
	t.Cleanup(sub.Unsubscribe)
	for range n {
		edges = append(edges, newEdge(t, edgeOptions{config: config, rateLimits: true, bus: b}))
	}
	for _, e := range edges {
		require.Eventually(t, e.service.Shares, 20*time.Second, time.Millisecond)
	}
	return edges, said
}

// heard waits until what was said of the last request has been heard by all.
func heard(t *testing.T, edges []*edge, class httpx.Limit, user, address string, tokens float64) {
	t.Helper()
	a := netip.MustParseAddr(address)
	require.Eventually(t, func() bool {
		for _, e := range edges {
			if e.service.Tokens(class, user, a) > tokens {
				return false
			}
		}
		return true
	}, 20*time.Second, 5*time.Millisecond, "other gateways count too")
}

func TestGatewaysCountTogether(t *testing.T) {
	edges, _ := gateways(t, 3, smallLimits)
	create := func(e *edge) answer {
		return e.do("POST", "/_matrix/client/v3/createRoom", http.NoBody, token("tok-alice"))
	}
	login := func(e *edge) answer {
		return e.do("POST", "/_matrix/client/v3/login", http.NoBody, header("X-Forwarded-For", "1.1.1.1"))
	}
	for i, e := range edges {
		require.Equal(t, 200, create(e).status)
		heard(t, edges, httpx.LimitRoom, "@alice:x", "1.1.1.1", float64(2-i))
	}
	for _, e := range edges {
		limited(t, create(e), "2")
	}
	require.Equal(t, 200, login(edges[0]).status)
	require.Equal(t, 200, login(edges[1]).status)
	heard(t, edges, httpx.LimitLogin, "", "1.1.1.1", 0)
	limited(t, login(edges[2]), "1")
	for _, e := range edges {
		e.clock.add(2 * time.Second)
		require.Equal(t, 200, e.do("POST", "/_matrix/client/v3/createRoom", http.NoBody, token("tok-bob")).status)
	}
	require.Equal(t, 200, create(edges[2]).status)
}

func TestGatewaysCountUnknownTokensTogether(t *testing.T) {
	edges, _ := gateways(t, 2, smallLimits)
	from := header("X-Forwarded-For", "1.1.1.1")
	for i := range 2 {
		require.Equal(t, 401, edges[0].get(whoami, token(fmt.Sprint(i)), from).status)
	}
	require.Eventually(t, func() bool {
		return edges[1].service.BadTokens(netip.MustParseAddr("1.1.1.1")) <= 0
	}, 20*time.Second, 5*time.Millisecond)
	limited(t, edges[1].get(whoami, token("3"), from), "1")
}

// TestManyAtOnceOweLittle lets each gateway give out everything before it hears of the others.
func TestManyAtOnceOweLittle(t *testing.T) {
	edges, _ := gateways(t, 3, smallLimits)
	for _, e := range edges {
		for range 3 {
			e.do("POST", "/_matrix/client/v3/createRoom", http.NoBody, token("tok-alice"))
		}
	}
	a := netip.MustParseAddr("1.1.1.1")
	heard(t, edges, httpx.LimitRoom, "@alice:x", "1.1.1.1", -0.5)
	for _, e := range edges {
		require.GreaterOrEqual(t, e.service.Tokens(httpx.LimitRoom, "@alice:x", a), -3.0)
	}
	var status int
	for range edges { // what each of the two others counted may be heard after the minute
		edges[0].clock.add(time.Minute)
		if status = edges[0].do("POST", "/_matrix/client/v3/createRoom", http.NoBody, token("tok-alice")).status; status == 200 {
			break
		}
	}
	require.Equal(t, 200, status)
}

func TestGatewaysSayNothingWithoutRequests(t *testing.T) {
	edges, said := gateways(t, 2, smallLimits)
	edges[0].get(whoami, token("tok-alice"))
	heard(t, edges, httpx.LimitDefault, "@alice:x", "1.1.1.1", 999.5)
	before := said.Load()
	require.Positive(t, before)
	require.Never(t, func() bool { return said.Load() > before }, 500*time.Millisecond, 50*time.Millisecond)
}

func TestManyKeysAreToldInSmallMessages(t *testing.T) {
	var sizes []int
	told := map[string]int{}
	gateway.EncodeTaken("me", func(add func(name, key string, n int)) {
		for i := range 5000 {
			add("account.message", fmt.Sprintf("@user-%d:chat.example.org", i), i+1)
		}
	}, func(data []byte) {
		sizes = append(sizes, len(data))
		require.NoError(t, gateway.DecodeTaken(data, "other", func(_, key string, n int) { told[key] = n }))
		require.NoError(t, gateway.DecodeTaken(data, "me", func(string, string, int) { require.Fail(t, "its own") }))
	})
	require.Greater(t, len(sizes), 1)
	for _, size := range sizes {
		require.LessOrEqual(t, size, bus.MaxMessage)
	}
	require.Len(t, told, 5000)
	require.Equal(t, 42, told["@user-41:chat.example.org"])
}

func FuzzReadTaken(f *testing.F) {
	gateway.EncodeTaken("me", func(add func(name, key string, n int)) { add("account.", "@a:b", 3) },
		func(data []byte) { f.Add(data) })
	f.Add([]byte{1, 200})
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		_ = gateway.DecodeTaken(data, "other", func(name, key string, n int) {
			total += len(name) + len(key)
			require.GreaterOrEqual(t, n, 0)
		})
		require.LessOrEqual(t, total, len(data))
	})
}

func BenchmarkLimit(b *testing.B) {
	for name, shared := range map[string]bus.Bus{"alone": nil, "shared": memory.New(0)} {
		b.Run(name, func(b *testing.B) {
			ctx, stop := context.WithCancel(context.Background())
			take, run := gateway.Taker(shared)
			done := make(chan error, 1)
			go func() { done <- run(ctx) }()
			b.ReportAllocs()
			for b.Loop() {
				take("@alice:x")
			}
			stop()
			require.NoError(b, <-done)
		})
		if shared != nil {
			require.NoError(b, shared.Close())
		}
	}
}
