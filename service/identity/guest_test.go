package identity_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/service/identity"
)

func withGuests(c *identity.Config) { c.GuestAccess = true }

func (g *rig) guest() user {
	g.Helper()
	a := g.post("", v3+"/register?kind=guest", obj{
		"username": "chosen", "password": secret, "device_id": "CHOSEN", "initial_device_display_name": "the library's computer",
	}).ok()
	id := matrix.UserID(a.text("user_id"))
	return user{id: string(id), name: id.Localpart(), device: a.text("device_id"), token: a.text("access_token")}
}

func TestGuests(t *testing.T) {
	onBoth(t, withGuests, func(t *testing.T, g *rig) {
		u := g.guest()
		require.NotEqual(t, "chosen", u.name, "only the device's display name is read")
		require.NotEqual(t, "CHOSEN", u.device)
		require.Equal(t, obj{"user_id": u.id, "device_id": u.device, "is_guest": true}, g.get(u.token, v3+"/account/whoami").ok().body)
		require.Equal(t, "the library's computer", g.get(u.token, v3+"/devices/"+u.device).ok().body["display_name"])
		users, err := g.identity.Users(context.Background(), &identitypb.UsersRequest{UserIds: []string{u.id}})
		require.NoError(t, err)
		require.True(t, users.GetUsers()[0].GetGuest(), "services can ask")
		require.NotEqual(t, u.id, g.guest().id)
		for _, password := range []string{"", secret} {
			g.login(u.name, obj{"password": password}).fails(403, matrix.CodeForbidden)
		}
	})
}

func TestGuestsProfile(t *testing.T) {
	g := onSQLite(t, withGuests)
	u := g.guest()
	profile := v3 + "/profile/" + url.PathEscape(u.id)
	g.as(u.token, "PUT", profile+"/displayname", obj{"displayname": "visitor"}).ok()
	g.as(u.token, "PUT", profile+"/avatar_url", obj{"avatar_url": "mxc://hs/a"}).fails(403, matrix.CodeGuestAccessForbidden)
	g.as(u.token, "DELETE", profile+"/avatar_url", nil).fails(403, matrix.CodeGuestAccessForbidden)
	g.as(u.token, "DELETE", profile+"/displayname", nil).ok()
}

func TestGuestErrors(t *testing.T) {
	g := onSQLite(t, withGuests)
	for name, body := range map[string]any{
		"a number": obj{"initial_device_display_name": 1}, "a list": "[]",
	} {
		t.Run(name, func(t *testing.T) { g.in(t).post("", v3+"/register?kind=guest", body).fails(400, matrix.CodeBadJSON) })
	}
	g.post("", v3+"/register?kind=guest", "{").fails(400, matrix.CodeNotJSON)
	g.post("", v3+"/register?kind=guest", obj{"initial_device_display_name": strings.Repeat("d", 256)}).fails(400, matrix.CodeTooLarge)
}

// Guests become users by registering with their token, and keep their name and devices.
func TestGuestsBecomeUsers(t *testing.T) {
	onBoth(t, withGuests, func(t *testing.T, g *rig) {
		u, other, member := g.guest(), g.guest(), g.register("member")
		register := func(changes obj) *answer {
			body := obj{"username": u.name, "password": secret, "auth": dummy, "guest_access_token": u.token}
			for k, v := range changes {
				body[k] = v
				if v == nil {
					delete(body, k)
				}
			}
			return g.post("", v3+"/register", body)
		}
		register(obj{"username": nil}).fails(400, matrix.CodeMissingParam)
		register(obj{"username": other.name}).fails(400, matrix.CodeInvalidUsername)
		register(obj{"guest_access_token": "wrong"}).fails(403, matrix.CodeForbidden)
		register(obj{"guest_access_token": member.token, "username": member.name}).fails(403, matrix.CodeForbidden)
		register(obj{"guest_access_token": nil}).fails(400, matrix.CodeUserInUse)
		register(obj{"auth": nil}).challenged("", "m.login.dummy")
		register(obj{"password": ""}).fails(400, matrix.CodeWeakPassword)
		require.Equal(t, true, g.get(u.token, v3+"/account/whoami").ok().body["is_guest"], "none of them did anything")

		a := register(nil).ok()
		require.Equal(t, u.id, a.text("user_id"))
		require.NotEqual(t, u.device, a.text("device_id"))
		for _, token := range []string{a.text("access_token"), u.token} {
			require.Equal(t, false, g.get(token, v3+"/account/whoami").ok().body["is_guest"])
		}
		g.login(u.name, nil).ok()
		register(nil).fails(403, matrix.CodeForbidden)

		u = other
		require.NotContains(t, register(obj{"inhibit_login": true}).ok().body, "access_token")
		g.login(other.name, nil).ok()
	})
}
