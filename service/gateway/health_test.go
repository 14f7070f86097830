package gateway_test

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Load balancers are told when to send requests, and when to send no more; clients of a gateway that leaves do not notice.
func TestHealth(t *testing.T) {
	const health, versions = "/_hongyan/health", "/_matrix/client/versions"
	var ready atomic.Bool
	e := newEdge(t, edgeOptions{ready: ready.Load})
	for _, path := range []string{health, versions} {
		a := e.get(path)
		require.Equal(t, 503, a.status, path)
		require.Equal(t, "M_UNKNOWN", a.code())
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
	require.Equal(t, 200, e.get("/_matrix/client/v3/account/whoami", token("tok-alice")).status, "who comes is answered")
	ready.Store(true)
	require.Equal(t, 200, e.get(health).status)
	require.Equal(t, 200, e.get(versions).status)
	e.service.Leave()
	ready.Store(false)
	require.Equal(t, 404, e.get(health).status)
	require.Equal(t, 200, e.get(versions).status)
	require.Equal(t, 200, e.get("/_matrix/client/v3/account/whoami", token("tok-alice")).status)
}
