package app_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/app"
)

// A request that was under way in an instance that was killed is repeated by the gateway, unless its route says Once. A route
// that says neither is one whose clients notice, though nobody decided so.
func TestRoutesSayWhetherTheyMayBeRepeated(t *testing.T) {
	var silent []string
	for service, routes := range app.Routes() {
		for _, r := range routes {
			safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPut
			if !safe && !r.Once && !r.Idempotent {
				silent = append(silent, service+": "+r.Method+" "+r.Path)
			}
		}
	}
	require.Empty(t, silent, "routes that are neither Once nor Idempotent")
}
