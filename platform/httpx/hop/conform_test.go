package hop_test

import (
	"net/http"
	"testing"

	"hongyan/platform/httpx/hop"
	"hongyan/platform/httpx/upstreamtest"
	"hongyan/platform/registry"
)

func TestConforms(t *testing.T) {
	upstream := func(t *testing.T, handler http.Handler, change func(*registry.Instance)) http.RoundTripper {
		// A busy machine is not a hung instance.
		h := newHouse(t, hop.Options{SilenceTimeout: patience})
		h.start("a", handler, change)
		h.known("room", 1)
		return h.cluster.Upstream("room")
	}
	t.Run("HTTP/2", func(t *testing.T) {
		upstreamtest.Run(t, func(t *testing.T, handler http.Handler) http.RoundTripper {
			return upstream(t, handler, func(*registry.Instance) {})
		})
	})
	t.Run("HTTP/1.1", func(t *testing.T) {
		upstreamtest.Run(t, func(t *testing.T, handler http.Handler) http.RoundTripper {
			duplex := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).EnableFullDuplex() // net/http reads bodies before it answers, unless told so
				handler.ServeHTTP(w, r)
			})
			return upstream(t, duplex, func(i *registry.Instance) { i.Routes = []registry.Route{{Method: "GET", Path: "/"}} })
		})
	})
	t.Run("in process", func(t *testing.T) {
		upstreamtest.Run(t, func(t *testing.T, handler http.Handler) http.RoundTripper {
			h := newHouse(t, hop.Options{Self: "me", Local: func(string) http.Handler { return handler }})
			h.register(registry.Instance{Service: "room", BootID: "me", State: registry.Ready})
			h.known("room", 1)
			return h.cluster.Upstream("room")
		})
	})
	t.Run("mutual TLS", func(t *testing.T) {
		a := newAuthority(t)
		upstreamtest.Run(t, func(t *testing.T, handler http.Handler) http.RoundTripper {
			h := newHouse(t, hop.Options{SilenceTimeout: patience, TLS: a.client()})
			h.startTLS("a", handler, a.server())
			h.known("room", 1)
			return h.cluster.Upstream("room")
		})
	})
}
