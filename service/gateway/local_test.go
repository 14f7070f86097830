package gateway_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/service/gateway"
)

func TestVersions(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	for _, with := range [][]withRequest{nil, {token("tok-alice")}, {token("tok-nobody")}} {
		a := e.get("/_matrix/client/versions", with...)
		require.Equal(t, 200, a.status)
		versions := a.body["versions"].([]any)
		require.Len(t, versions, 19)
		require.Equal(t, "v1.1", versions[0])
		require.Equal(t, "v1.19", versions[18])
		require.Equal(t, map[string]any{"org.example.feature": true}, a.body["unstable_features"])
	}
}

func TestCapabilities(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	path := "/_matrix/client/v3/capabilities"
	require.Equal(t, "M_MISSING_TOKEN", e.get(path).code())
	off := map[string]any{"enabled": false}
	// The fake service has neither passwords nor profiles to change.
	require.Equal(t, map[string]any{"capabilities": map[string]any{
		"m.change_password": off, "m.3pid_changes": off, "m.get_login_token": off, "m.profile_fields": off,
		"m.set_displayname": off, "m.set_avatar_url": off, "m.forget_forced_upon_leave": off,
		"m.room_versions": map[string]any{"default": "12", "available": map[string]any{"11": "stable", "12": "stable"}},
	}}, e.get(path, token("tok-bob")).body)
}

// Clients that do not know m.profile_fields read the capabilities that it replaces.
func TestCapabilitiesOfProfiles(t *testing.T) {
	e := newEdge(t, edgeOptions{routes: []httpx.Route{{
		Method: http.MethodPut, Path: "/_matrix/client/v3/profile/{userId}/{keyName}", Auth: httpx.AuthRequired,
	}}})
	capabilities := e.get("/_matrix/client/v3/capabilities", token("tok-bob")).body["capabilities"]
	for _, name := range []string{"m.profile_fields", "m.set_displayname", "m.set_avatar_url"} {
		require.Equal(t, map[string]any{"enabled": true}, capabilities.(map[string]any)[name], name)
	}
}

func TestWellKnown(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	require.Equal(t, map[string]any{"m.homeserver": map[string]any{"base_url": "https://chat.example.org"}},
		e.get("/.well-known/matrix/client").body)
	require.Equal(t, "M_NOT_FOUND", e.get("/.well-known/matrix/support").code())

	e = newEdge(t, edgeOptions{config: func(c *gateway.Config) {
		c.PublicURL = ""
		c.Support = gateway.SupportConfig{MatrixID: "@admin:x", Email: "admin@example.org", Page: "https://example.org/help"}
	}})
	require.Equal(t, "M_NOT_FOUND", e.get("/.well-known/matrix/client").code())
	require.Equal(t, map[string]any{
		"contacts": []any{map[string]any{
			"matrix_id": "@admin:x", "email_address": "admin@example.org", "role": "m.role.admin",
		}},
		"support_page": "https://example.org/help",
	}, e.get("/.well-known/matrix/support").body)
}

func TestLandingPage(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	a := e.get("/")
	require.Equal(t, 200, a.status)
	require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	require.Contains(t, a.raw, "Hongyan")
	require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
}

func TestOwnRoutes(t *testing.T) {
	var paths []string
	for _, r := range gateway.Routes() {
		paths = append(paths, r.Path)
	}
	slices.Sort(paths)
	require.Equal(t, []string{
		"/", "/.well-known/matrix/client", "/.well-known/matrix/support", "/_hongyan/health", "/_matrix/client/v3/capabilities",
		"/_matrix/client/v3/voip/turnServer", "/_matrix/client/versions",
	}, paths)
}
