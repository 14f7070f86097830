package cli_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/app/cli"
)

func TestHealth(t *testing.T) {
	ready := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/readyz", r.URL.Path)
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, err := w.Write([]byte(`{"status":"not ready"}`))
			require.NoError(t, err)
		}
	}))
	address := strings.TrimPrefix(server.URL, "http://")
	ask := func() (status int, out string) {
		var text strings.Builder
		status = cli.Main(t.Context(), "v0", []string{"health", "--admin", address}, strings.NewReader(""), &text, &text)
		return status, text.String()
	}
	status, out := ask()
	require.Zero(t, status, out)
	ready = false
	status, out = ask()
	require.Equal(t, 1, status)
	require.Contains(t, out, `not ready: {"status":"not ready"}`)
	server.Close()
	status, out = ask()
	require.Equal(t, 1, status)
	require.Contains(t, out, "no server answers")
}
