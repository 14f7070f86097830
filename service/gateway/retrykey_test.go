package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/gateway"
)

const retryKey = "X-Hongyan-Retry-Key"

// What a load balancer tries again by another gateway has the key that it had, and nothing else has.
func TestAttemptsOfALoadBalancerHaveOneKey(t *testing.T) {
	const create, logout = "/_matrix/client/v3/createRoom", "/_matrix/client/v3/logout"
	one, another := newEdge(t, edgeOptions{}), newEdge(t, edgeOptions{})
	key := func(e *edge, path string, with ...withRequest) string {
		t.Helper()
		a := e.do(http.MethodPost, path, strings.NewReader("{}"), with...)
		require.Equal(t, 200, a.status, a.raw)
		require.Empty(t, e.last().Header.Values(retryKey), "it does not go further")
		return a.body["idempotency"].(string)
	}
	first := key(one, create, token("tok-alice"), header(retryKey, "k-1_2.3:4"))
	require.Equal(t, first, key(another, create, token("tok-alice"), header(retryKey, "k-1_2.3:4")))
	require.NotContains(t, first, "k-1")
	others := map[string][]withRequest{
		"another key":    {token("tok-alice"), header(retryKey, "k-2")},
		"another user":   {token("tok-bob"), header(retryKey, "k-1_2.3:4")},
		"another device": {token("tok-alice2"), header(retryKey, "k-1_2.3:4")},
	}
	for name, with := range others {
		require.NotEqual(t, first, key(one, create, with...), name)
	}
	require.NotEqual(t, first, key(one, logout, token("tok-alice"), header(retryKey, "k-1_2.3:4")), "another path")
	forged := map[string]string{
		"none": "", "too long": strings.Repeat("k", 129), "with a blank": "k 1", "with a letter of others": "k\u00e9", "with two": "k,l",
	}
	for name, value := range forged {
		with := []withRequest{token("tok-alice"), header(retryKey, value)}
		require.NotEqual(t, key(one, create, with...), key(one, create, with...), name)
	}
}

// Who is not a trusted proxy, or is not signed in, chooses no key.
func TestStrangersChooseNoKeys(t *testing.T) {
	strange := newEdge(t, edgeOptions{config: func(c *gateway.Config) { c.TrustedProxies = []string{"192.0.2.0/24"} }})
	trusted := newEdge(t, edgeOptions{})
	key := func(e *edge, path string, with ...withRequest) string {
		t.Helper()
		a := e.do(http.MethodPost, path, strings.NewReader("{}"), append(with, header(retryKey, "mine"))...)
		require.Equal(t, 200, a.status, a.raw)
		return a.body["idempotency"].(string)
	}
	create := func(e *edge) string { return key(e, "/_matrix/client/v3/createRoom", token("tok-alice")) }
	require.NotEqual(t, create(strange), create(strange))
	require.Equal(t, create(trusted), create(trusted))
	login := func() string { return key(trusted, "/_matrix/client/v3/login") }
	require.NotEqual(t, login(), login())
}
