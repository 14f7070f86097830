package identity_test

import (
	"net/http"
	"strings"
	"testing"

	"hongyan/service/identity"
)

// sharedSecretAndOpen opens every way to register.
func sharedSecretAndOpen(c *identity.Config) {
	tokenMode(c)
	c.Registration = identity.RegistrationOpen
	c.RegistrationSharedSecret = "shared-registration-secret"
}

// FuzzRequests sends any body to any route, with and without a token: whatever comes is answered, never with a fault
// of the server.
func FuzzRequests(f *testing.F) {
	g := onSQLite(f, sharedSecretAndOpen)
	u := g.register("alice")
	requests := []struct{ method, path string }{
		{http.MethodPost, v3 + "/register"},
		{http.MethodPost, v3 + "/login"},
		{http.MethodPost, v3 + "/refresh"},
		{http.MethodPost, getToken},
		{http.MethodPost, v3 + "/account/password"},
		{http.MethodPost, v3 + "/account/deactivate"},
		{http.MethodPost, v3 + "/delete_devices"},
		{http.MethodPut, v3 + "/devices/" + u.device},
		{http.MethodDelete, v3 + "/devices/" + u.device},
		{http.MethodPut, v3 + "/profile/" + u.id + "/displayname"},
		{http.MethodPut, v3 + "/profile/" + u.id + "/avatar_url"},
		{http.MethodPut, v3 + "/profile/" + u.id + "/org.example.custom"},
		{http.MethodPost, sharedSecretPath},
	}
	for i, body := range []string{
		``, `{}`, `null`, `[]`, `"x"`, `{"auth":null}`, `{"auth":{}}`, `{"auth":{"type":"m.login.dummy"}}`,
		`{"auth":{"session":"x","type":"m.login.password"}}`, `{"username":"A\u0000","password":"x"}`,
		`{"type":"m.login.password","identifier":{"type":"m.id.user","user":"@alice:hs"},"password":"x"}`,
		`{"type":"m.login.token","token":"\ud800"}`, `{"refresh_token":"hrt_x"}`, `{"devices":["a",null]}`,
		`{"displayname":"\u0000"}`, `{"avatar_url":"mxc://hs/x"}`, `{"org.example.custom":[1e99,{"a":{"a":[]}}]}`,
		`{"nonce":"00","username":"a","password":"b","mac":"00","user_type":""}`, "{\"a\":\"\xff\"}", `{"a":1,"a":2}`,
		strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200), `{"new_password":"x","logout_devices":1}`,
		`{"device_id":"","initial_device_display_name":null,"refresh_token":true}`, `{"USERNAME":"x"}`, `{"erase":"x"}`,
	} {
		f.Add(i%len(requests), i%2 == 0, body)
	}
	f.Fuzz(func(t *testing.T, which int, authenticated bool, body string) {
		r := requests[uint(which)%uint(len(requests))]
		token := ""
		if authenticated {
			token = u.token
		}
		fuzzed := *g
		fuzzed.TB = t
		a := fuzzed.as(token, r.method, r.path, body)
		if a.status >= 500 {
			t.Fatalf("%s %s answered %d: %s", r.method, r.path, a.status, a.raw)
		}
		if a.status >= 400 && a.body["errcode"] == nil && a.body["flows"] == nil {
			t.Fatalf("%s %s answered %d without an errcode: %s", r.method, r.path, a.status, a.raw)
		}
	})
}
