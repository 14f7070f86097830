package gateway_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/gateway"
	"hongyan/service/gateway/spec"
)

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// What guests may call exists: a route that is misspelt in their list would be closed to them without a word.
func TestGuestRoutesExist(t *testing.T) {
	known := map[string]bool{}
	for _, op := range spec.Operations() {
		known[op.Method+" "+parameter.ReplaceAllString(op.Path, "{}")] = true
	}
	short := map[string]bool{ // the state of an empty key has two more spellings
		"/_matrix/client/v3/rooms/{}/state/{}": true, "/_matrix/client/v3/rooms/{}/state/{}/": true,
	}
	for method, paths := range gateway.GuestRoutes {
		for _, path := range paths {
			require.True(t, known[method+" "+path] || short[path], "%s %s", method, path)
		}
	}
}
