package httpx_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/upstreamtest"
)

func TestLocalConforms(t *testing.T) {
	upstreamtest.Run(t, func(_ *testing.T, h http.Handler) http.RoundTripper { return httpx.Local(h) })
}

func TestNetworkConforms(t *testing.T) {
	upstreamtest.Run(t, overNetwork)
}

// overNetwork serves h on a port.
func overNetwork(t *testing.T, h http.Handler) http.RoundTripper {
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = httpx.ServerProtocols()
	server.Start()
	transport := httpx.NewTransport()
	transport.HTTP2.PingTimeout = 20 * time.Second // a busy machine is not a hung instance
	t.Cleanup(server.Close)
	t.Cleanup(transport.CloseIdleConnections)
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	return httpx.Fixed(base, transport)
}

// A local upstream behind Forward must not cost a goroutine.
func TestForwardServesLocalOnTheSameGoroutine(t *testing.T) {
	type key struct{}
	var seen any
	rt := httpx.Local(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Context().Value(key{}) }))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), key{}, "mine"))
	require.NoError(t, httpx.Forward(httptest.NewRecorder(), r, rt))
	require.Equal(t, "mine", seen, "RoundTrip would not pass values on")
}
