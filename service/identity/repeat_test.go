package identity_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/service/identity"
	"hongyan/test/pgtest"
)

// forward sends a request that was authenticated before, as a gateway does.
func (g *rig) forward(u user, method, path, body string) (status int, answer string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	httpx.SetCaller(r.Header, httpx.Caller{
		UserID: u.id, DeviceID: u.device, RemoteAddr: netip.MustParseAddr("192.0.2.7"), IdempotencyKey: "key",
	})
	w := httptest.NewRecorder()
	g.service.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestRepetitionsAtAnotherInstance repeats each request that changes something and may be sent twice, as a gateway does when
// the instance that it sent it to has died: maybe before, maybe after it was done.
func TestRepetitionsAtAnotherInstance(t *testing.T) {
	url := pgtest.Start(t)
	one, two := newRig(t, url, nil), newRig(t, url, nil)
	tests := map[string]struct {
		path func(u user) string
		body string
		// forgets says that the gateways must have been told when it is answered.
		forgets bool
	}{
		"POST " + v3 + "/logout":     {path: func(user) string { return v3 + "/logout" }, forgets: true},
		"POST " + v3 + "/logout/all": {path: func(user) string { return v3 + "/logout/all" }, forgets: true},
		"PUT " + v3 + "/devices/{deviceId}": {
			path: func(u user) string { return v3 + "/devices/" + u.device }, body: `{"display_name":"Phone"}`,
		},
		"PUT " + v3 + "/profile/{userId}/{keyName}": {
			path: func(u user) string { return v3 + "/profile/" + u.id + "/m.tz" }, body: `{"m.tz":"Europe/Berlin"}`,
		},
		"DELETE " + v3 + "/profile/{userId}/{keyName}": {
			path: func(u user) string { return v3 + "/profile/" + u.id + "/displayname" },
		},
	}
	users := 0
	for route, c := range tests {
		t.Run(route, func(t *testing.T) {
			one, two := one.in(t), two.in(t)
			method, _, _ := strings.Cut(route, " ")
			users++
			u := one.register(fmt.Sprintf("user%d", users))
			status, answer := one.forward(u, method, c.path(u), c.body)
			require.Equal(t, 200, status, answer)
			one.forgot.take()
			two.forgot.take()
			written := one.events(u.id)
			for _, g := range []*rig{two, one} {
				status, again := g.forward(u, method, c.path(u), c.body)
				require.Equal(t, 200, status, again)
				require.Equal(t, answer, again)
				require.Equal(t, c.forgets, len(g.forgot.take()) == 1, "what gateways are told")
			}
			require.Equal(t, len(written), len(two.events(u.id)), "it happened once")
		})
	}
	for _, r := range identity.Routes() {
		if r.Method != http.MethodGet && !r.Once {
			require.Contains(t, tests, r.Method+" "+r.Path, "it is repeated and not tested")
		}
	}
}

// Whatever tells who somebody is, makes something of it, or uses a proof up, must be sent once.
func TestWhatIsSentOnce(t *testing.T) {
	once := map[string]bool{}
	for _, r := range identity.Routes() {
		if r.Once {
			once[r.Method+" "+r.Path] = true
		}
	}
	for _, route := range []string{
		"POST " + v3 + "/login", "POST " + v3 + "/register", "POST /_synapse/admin/v1/register",
		"POST " + getToken, "POST " + v3 + "/refresh", "POST " + v3 + "/auth/{authType}/fallback/web",
		"POST " + v3 + "/account/password", "POST " + v3 + "/account/deactivate",
		"POST " + v3 + "/delete_devices", "DELETE " + v3 + "/devices/{deviceId}",
	} {
		require.Contains(t, once, route)
	}
}
