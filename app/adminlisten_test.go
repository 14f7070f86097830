package app_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// read reads a page of the admin listener, with a header line where one is given.
func (s *server) read(path, authorization string) (status int, body string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.app.AdminAddr().String()+path, http.NoBody)
	require.NoError(s.t, err)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(raw)
}

// TestTheAdminListenerIsThereByDefault starts two servers, which do not fight for its port.
func TestTheAdminListenerIsThereByDefault(t *testing.T) {
	one, two := start(t, t.TempDir(), nil), start(t, t.TempDir(), nil)
	require.NotEqual(t, one.app.AdminAddr().String(), two.app.AdminAddr().String())
	for _, s := range []*server{one, two} {
		for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": "hongyan_ready 1"} {
			status, body := s.read(path, "")
			require.Equal(t, 200, status)
			require.Contains(t, body, want)
		}
	}
	require.Nil(t, start(t, t.TempDir(), map[string]string{"admin-listen": ""}).app.AdminAddr())
}

func TestTheAdminToken(t *testing.T) {
	s := start(t, t.TempDir(), map[string]string{"admin-listen": "0.0.0.0:0", "admin-token": "hush"})
	tests := []struct {
		path, authorization string
		want                int
	}{
		{"/metrics", "", 401},
		{"/metrics", "Bearer wrong", 401},
		{"/metrics", "Bearer ", 401},
		{"/debug/pprof/cmdline", "", 401},
		{"/topology.json", "", 401},
		{"/discovery/http_sd", "", 401},
		{"/else", "", 401},
		{"/metrics", "Bearer hush", 200},
		{"/metrics", "bearer hush", 200},
		{"/topology", "Basic YWRtaW46aHVzaA==", 200}, // admin:hush
		{"/healthz", "", 200},
		{"/readyz", "", 200},
	}
	for _, tt := range tests {
		status, _ := s.read(tt.path, tt.authorization)
		require.Equal(t, tt.want, status, tt)
	}
}
