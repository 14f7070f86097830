package app_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	nodepb "hongyan/api/node"
	"hongyan/app"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// The admin listener and the admin socket tell the same: all services, in one process.
func TestTopologyOfOneProcess(t *testing.T) {
	admin := freeAddress(t)
	s := start(t, t.TempDir(), map[string]string{"admin-listen": admin})
	token := s.register("alice")
	s.call("GET", "/_matrix/client/v3/account/whoami", token, "")

	get := func(path string) (string, http.Header) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+path, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(body), resp.Header
	}
	raw, _ := get("/topology.json")
	require.Equal(t, `["gateway","identity","keys","media","room","social","sync"]`, gjson.Get(raw, "instances.#.service").Raw)
	require.Equal(t, `["ready","ready","ready","ready","ready","ready","ready"]`, gjson.Get(raw, "instances.#.state").Raw)
	require.Equal(t, "1", gjson.Get(raw, "processes.#").Raw)
	require.Empty(t, gjson.Get(raw, "processes.0.error").Str)
	require.Equal(t, s.url, "http://"+gjson.Get(raw, `instances.#(service=="gateway").http`).Str)
	require.EqualValues(t, 2, gjson.Get(raw, `processes.0.status.traffic.#(kind=="public").calls`).Int(), raw)
	require.EqualValues(t, 2, gjson.Get(raw, `processes.0.status.traffic.#(kind=="http").calls`).Int(), "both were identity's")
	require.Positive(t, gjson.Get(raw, `processes.0.status.traffic.#(service=="room").calls`).Int(), "sync follows room")
	page, header := get("/topology")
	require.Contains(t, page, "topology.js")
	require.Contains(t, header.Get("Content-Security-Policy"), "script-src 'self'")

	socket, err := app.DialAdmin(s.dir)
	require.NoError(t, err)
	defer func() { _ = socket.Close() }()
	told, err := socket.Topology(context.Background(), &nodepb.TopologyRequest{})
	require.NoError(t, err)
	require.Len(t, told.GetInstances(), 7, fmt.Sprint(told))
}

// A page in somebody's browser that made a name of this machine its own reads nothing.
func TestAdminListenerHasNoNameForOthers(t *testing.T) {
	admin := freeAddress(t)
	start(t, t.TempDir(), map[string]string{"admin-listen": admin})
	for host, want := range map[string]int{
		"evil.example": 403, "evil.example:9008": 403, "localhost:9008": 200, "hongyan": 200, "127.0.0.1": 200, "[::1]:9008": 200,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin+"/topology.json", nil)
		require.NoError(t, err)
		r.Host = host
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, host)
	}
}
