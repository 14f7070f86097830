package identity_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/test/pgtest"
)

// attempt sends an attempt at a request as a gateway does.
func (g *rig) attempt(u user, key, method, path, body string) {
	g.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	httpx.SetCaller(r.Header, httpx.Caller{UserID: u.id, DeviceID: u.device, IdempotencyKey: key})
	w := httptest.NewRecorder()
	g.service.Handler().ServeHTTP(w, r)
	require.Equal(g, http.StatusOK, w.Code, w.Body)
	require.JSONEq(g, `{}`, w.Body.String())
}

// TestLateAttemptsUndoNothing lets an instance that was held up go on with a request that another one has answered since,
// after the client has asked for something else.
func TestLateAttemptsUndoNothing(t *testing.T) {
	url := pgtest.Start(t)
	one, two := newRig(t, url, nil), newRig(t, url, nil)
	u := two.register("alice")
	device, zone, name := v3+"/devices/"+u.device, v3+"/profile/"+u.id+"/m.tz", v3+"/profile/"+u.id+"/displayname"
	for what, c := range map[string]struct {
		method, path, body             string
		otherMethod, other, get, after string
	}{
		"device name":                  {"PUT", device, `{"display_name":"a"}`, "PUT", `{"display_name":"b"}`, device, "b"},
		"profile":                      {"PUT", zone, `{"m.tz":"Europe/Berlin"}`, "PUT", `{"m.tz":"Asia/Shanghai"}`, zone, "Asia/Shanghai"},
		"profile, removed":             {"DELETE", name, ``, "PUT", `{"displayname":"c"}`, name, "c"},
		"profile, set to what it is":   {"PUT", name, `{"displayname":"c"}`, "PUT", `{"displayname":"d"}`, name, "d"},
		"profile, removed for nothing": {"DELETE", v3 + "/profile/" + u.id + "/org.x", ``, "PUT", `{"org.x":"e"}`, v3 + "/profile/" + u.id + "/org.x", "e"},
	} {
		t.Run(what, func(t *testing.T) {
			one, two := one.in(t), two.in(t)
			if what == "profile, set to what it is" {
				two.attempt(u, "before", c.method, c.path, c.body)
			}
			two.attempt(u, what, c.method, c.path, c.body)
			two.attempt(u, what+", other", c.otherMethod, c.path, c.other)
			one.attempt(u, what, c.method, c.path, c.body)
			require.Contains(t, two.get(u.token, c.get).ok().raw, `"`+c.after+`"`)
		})
	}
}

// TestLateLogOut lets an instance go on with a log-out after the user has logged in again on the same device.
func TestLateLogOut(t *testing.T) {
	url := pgtest.Start(t)
	one, two := newRig(t, url, nil), newRig(t, url, nil)
	for _, path := range []string{v3 + "/logout", v3 + "/logout/all"} {
		u := two.register("user" + strings.ReplaceAll(strings.TrimPrefix(path, v3+"/"), "/", "-"))
		two.attempt(u, "key", http.MethodPost, path, `{}`)
		token := two.login(u.id, obj{"device_id": u.device}).ok().text("access_token")
		one.forgot.take()
		one.attempt(u, "key", http.MethodPost, path, `{}`)
		require.Len(t, one.forgot.take(), 1, "the first attempt may have ended before it told the gateways")
		two.works(token)
	}
}
