package discovery_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/discovery"
	"hongyan/platform/registry"
)

func get(t *testing.T, h http.Handler, query string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, discovery.Path+query, nil))
	return w
}

func TestHTTP(t *testing.T) {
	room := instance("room", "a", "192.0.2.1:1", "192.0.2.1:2")
	room.Admin, room.Version, room.Zone = "192.0.2.1:9", "1.2", "eu"
	sync := instance("sync", "a", "192.0.2.1:3", "")
	sync.Admin = room.Admin
	second := instance("room", "b", "[2001:db8::1]:1", "")
	second.Admin = "192.0.2.2:9"
	drains := instance("room", "c", "192.0.2.3:1", "")
	drains.State = registry.Draining
	d, _ := directory(t, room, sync, second, drains)
	h := discovery.Handler(d)
	for name, test := range map[string]struct {
		query string
		want  map[string]string // target to service
	}{
		"all that are ready": {"", map[string]string{"192.0.2.1:1": "room", "[2001:db8::1]:1": "room", "192.0.2.1:3": "sync"}},
		"one service":        {"?service=sync", map[string]string{"192.0.2.1:3": "sync"}},
		"an unknown one":     {"?service=nobody", map[string]string{}},
		"gRPC":               {"?port=grpc", map[string]string{"192.0.2.1:2": "room"}},
		"one a process":      {"?port=admin", map[string]string{"192.0.2.1:9": "room,sync", "192.0.2.2:9": "room"}},
		"of a service":       {"?port=admin&service=sync", map[string]string{"192.0.2.1:9": "sync"}},
		"of a state":         {"?state=draining", map[string]string{"192.0.2.3:1": "room"}},
		"of any state":       {"?state=all&service=room", map[string]string{"192.0.2.1:1": "room", "[2001:db8::1]:1": "room", "192.0.2.3:1": "room"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := get(t, h, test.query)
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, "application/json", w.Header().Get("Content-Type"), "Prometheus wants just this")
			var groups []discovery.Group
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &groups))
			require.NotNil(t, groups, "an empty list, not null")
			got := map[string]string{}
			for _, g := range groups {
				for _, target := range g.Targets {
					got[target] = g.Labels["service"]
				}
			}
			require.Equal(t, test.want, got)
		})
	}
	require.JSONEq(t, `[{"targets": ["192.0.2.1:1"], "labels":
		{"service": "room", "boot_id": "a", "version": "1.2", "zone": "eu", "state": "ready"}},
		{"targets": ["[2001:db8::1]:1"], "labels": {"service": "room", "boot_id": "b", "version": "", "zone": "", "state": "ready"}}]`,
		get(t, h, "?service=room").Body.String())
	for _, query := range []string{"?port=ssh", "?state=asleep"} {
		require.Equal(t, http.StatusBadRequest, get(t, h, query).Code)
	}
}
