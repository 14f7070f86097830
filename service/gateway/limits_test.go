package gateway_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/gateway"
)

// smallLimits are easy to count.
func smallLimits(c *gateway.Config) {
	c.Limits.Account.Room = gateway.Rate{PerSecond: 0.5, Burst: 3}
	c.Limits.Address.Login = gateway.Rate{PerSecond: 1, Burst: 2}
	c.Limits.BadTokens = gateway.Rate{PerSecond: 1, Burst: 2}
}

func limited(t *testing.T, a answer, retryAfter string) {
	t.Helper()
	require.Equal(t, 429, a.status, a.raw)
	require.Equal(t, "M_LIMIT_EXCEEDED", a.code())
	require.Equal(t, retryAfter, a.header.Get("Retry-After"))
	require.Positive(t, a.body["retry_after_ms"])
}

func TestAccountsAreLimited(t *testing.T) {
	e := newEdge(t, edgeOptions{config: smallLimits, rateLimits: true})
	create := func(tok string) answer {
		return e.do("POST", "/_matrix/client/v3/createRoom", http.NoBody, token(tok))
	}
	for range 3 {
		require.Equal(t, 200, create("tok-alice").status)
	}
	limited(t, create("tok-alice2"), "2")
	require.Equal(t, 3, e.requests())
	require.Equal(t, 200, create("tok-bob").status, "another account at the same address")
	require.Equal(t, 200, e.get(whoami, token("tok-alice")).status, "another kind of request")
	e.clock.add(1999 * time.Millisecond)
	limited(t, create("tok-alice"), "1")
	e.clock.add(time.Millisecond)
	require.Equal(t, 200, create("tok-alice").status)
	limited(t, create("tok-alice"), "2")
}

func TestAddressesAreLimited(t *testing.T) {
	e := newEdge(t, edgeOptions{config: smallLimits, rateLimits: true})
	login := func(address string) answer {
		return e.do("POST", "/_matrix/client/v3/login", http.NoBody, header("X-Forwarded-For", address))
	}
	for range 2 {
		require.Equal(t, 200, login("1.1.1.1").status)
		require.Equal(t, 200, login("2001:db8:0:1::1").status)
	}
	limited(t, login("1.1.1.1"), "1")
	limited(t, login("2001:db8:0:1:ffff::2"), "1")
	require.Equal(t, 200, login("2001:db8:0:2::1").status, "another network")
	require.Equal(t, 200, login("1.1.1.2").status)
}

func TestUnknownTokensAreLimitedByAddress(t *testing.T) {
	e := newEdge(t, edgeOptions{config: smallLimits, rateLimits: true})
	from := header("X-Forwarded-For", "1.1.1.1")
	require.Equal(t, 200, e.get(whoami, token("tok-alice"), from).status)
	for i := range 2 {
		require.Equal(t, 401, e.get(whoami, token(fmt.Sprint(i)), from).status)
	}
	before := e.identity.count()
	limited(t, e.get(whoami, token("3"), from), "1")
	require.Equal(t, before, e.identity.count())
	require.Equal(t, 200, e.get(whoami, token("tok-alice"), from).status, "who is known goes on")
	require.Equal(t, 200, e.get(whoami, token("tok-bob"), header("X-Forwarded-For", "2.2.2.2")).status)
}

func TestWithoutRateLimitsNothingIsLimited(t *testing.T) {
	e := newEdge(t, edgeOptions{config: smallLimits})
	for range 50 {
		require.Equal(t, 200, e.do("POST", "/_matrix/client/v3/login", http.NoBody).status)
		require.Equal(t, 200, e.do("POST", "/_matrix/client/v3/createRoom", http.NoBody, token("tok-alice")).status)
	}
}

// TestBucketsAreBounded has more clients than are counted: old ones are forgotten, none is refused wrongly.
func TestBucketsAreBounded(t *testing.T) {
	e := newEdge(t, edgeOptions{rateLimits: true, config: func(c *gateway.Config) {
		smallLimits(c)
		c.Limits.Buckets = 4
	}})
	login := func(i int) int {
		return e.do("POST", "/_matrix/client/v3/login", http.NoBody, header("X-Forwarded-For", fmt.Sprintf("1.1.1.%d", i))).status
	}
	for i := range 100 {
		require.Equal(t, 200, login(i))
	}
	require.Equal(t, 200, login(99))
	require.Equal(t, 429, login(99), "the newest is still counted")
}
