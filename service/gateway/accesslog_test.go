package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/registry"
)

// TestWhoReadsWhatIsNotLogged has a page of which no preview can be made: that is not the server's fault, so it is no line at level
// info and no error in the traffic, and no level tells what page it is.
func TestWhoReadsWhatIsNotLogged(t *testing.T) {
	const route = "/_matrix/client/v1/media/preview_url"
	for _, level := range []string{"info", "debug"} {
		t.Run(level, func(t *testing.T) {
			logs := captureLogs(t, level)
			e := newEdge(t, edgeOptions{
				routes: []httpx.Route{{Method: http.MethodGet, Path: route}},
				transport: func(inner http.Handler) http.RoundTripper {
					return httpx.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path != route {
							inner.ServeHTTP(w, r)
							return
						}
						w.WriteHeader(http.StatusBadGateway)
						_, _ = io.WriteString(w, `{"errcode":"M_UNKNOWN","error":"The page could not be read."}`)
					}))
				},
			})
			a := e.get(route+"?url=https://clinic.example/results?a=1&patient=42", token("tok-alice"))
			require.Equal(t, 502, a.status)
			require.Equal(t, "M_UNKNOWN", a.code())
			require.Equal(t, 500, e.get("/_matrix/client/v3/joined_rooms", token("tok-alice")).status)
			require.Contains(t, logs.String(), "joined_rooms 500")
			require.NotContains(t, logs.String(), "clinic")
			require.NotContains(t, logs.String(), "patient")
			require.Equal(t, level == "debug", strings.Contains(logs.String(), route+"?[redacted] 502"), logs.String())
			for _, traffic := range e.service.Traffic() {
				if traffic.Service == "fake" {
					require.EqualValues(t, 2, traffic.Calls)
					require.EqualValues(t, 1, traffic.Errors, "that of joined_rooms")
				}
			}
		})
	}
}

// TestForeignBadGateway has a foreign service whose own proxy cannot reach it: that is a failure.
func TestForeignBadGateway(t *testing.T) {
	logs := captureLogs(t, "info")
	e, s := newForeignEdge(t)
	s.set(stranger("proxied", registry.Route{Method: "GET", Path: "/proxied/x"}))
	e.settles(502, "GET", "/proxied/x", token("tok-alice"))
	require.Eventually(t, func() bool { return strings.Contains(logs.String(), "/proxied/x 502") }, patience, time.Millisecond)
}
