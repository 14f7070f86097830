package identity_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/service/identity"
)

func TestPassword(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		second := g.login("alice", obj{"device_id": "TWO"}).ok().text("access_token")
		loginToken := g.post(u.token, getToken, obj{"auth": u.passwordAuth()}).ok().text("login_token")
		body := obj{"new_password": "better horse"}
		session := g.post(u.token, v3+"/account/password", body).challenged("", "m.login.password")
		body["auth"] = obj{"session": session}
		g.post(u.token, v3+"/account/password", body).challenged("", "m.login.password")
		g.forgot.take()
		body["auth"] = u.passwordAuth()
		g.post(u.token, v3+"/account/password", body).ok()
		require.Equal(t, []string{"TWO"}, g.forgot.take()[0].GetDeviceIds())
		g.works(u.token)
		g.ended(second, false)
		g.login("alice", nil).fails(403, matrix.CodeForbidden)
		g.login("alice", obj{"password": "better horse"}).ok()
		g.post("", v3+"/login", obj{"type": "m.login.token", "token": loginToken}).fails(403, matrix.CodeForbidden)
		var ended identitypb.UserEvent
		for _, r := range g.events(u.id) {
			if r.GetKind() == int32(identitypb.UserEventKind_USER_EVENT_KIND_SESSIONS_ENDED) {
				require.NoError(t, proto.Unmarshal(r.GetBody(), &ended))
			}
		}
		require.Equal(t, []string{"TWO"}, ended.GetDeviceIds())
	})
}

func TestPasswordKeepsDevices(t *testing.T) {
	g := onSQLite(t, nil)
	u := g.register("alice")
	second := g.login("alice", nil).ok().text("access_token")
	g.post(u.token, v3+"/account/password", obj{
		"new_password": "x", "logout_devices": false, "auth": u.passwordAuth(),
	}).ok()
	g.works(u.token)
	g.works(second)
	require.Empty(t, g.forgot.take())
	g.login("alice", obj{"password": "x"}).ok()
}

// Without an access token the authentication says whose password it is, and every session ends.
func TestPasswordWithoutToken(t *testing.T) {
	g := onSQLite(t, nil)
	u := g.register("alice")
	g.post("", v3+"/account/password", obj{"new_password": "x"}).challenged("", "m.login.password")
	g.post("", v3+"/account/password", obj{"new_password": "x", "auth": u.passwordAuth()}).ok()
	g.ended(u.token, false)
	g.login("alice", obj{"password": "x"}).ok()
	g.post("bad", v3+"/account/password", obj{"new_password": "x"}).fails(401, matrix.CodeUnknownToken)
}

func TestPasswordErrors(t *testing.T) {
	g := onSQLite(t, func(c *identity.Config) { c.Passwords.MinLength = 4 })
	u, other := g.register("alice"), g.register("bob")
	for name, c := range map[string]struct {
		body   any
		status int
		code   matrix.ErrCode
	}{
		"missing":        {obj{"auth": u.passwordAuth()}, 400, matrix.CodeMissingParam},
		"number":         {obj{"new_password": 5}, 400, matrix.CodeBadJSON},
		"weak":           {obj{"new_password": "üüü"}, 400, matrix.CodeWeakPassword},
		"long":           {obj{"new_password": strings.Repeat("p", 513)}, 400, matrix.CodeInvalidParam},
		"other's":        {obj{"new_password": "xxxx", "auth": other.passwordAuth()}, 403, matrix.CodeForbidden},
		"auth list":      {obj{"new_password": "xxxx", "auth": []int{}}, 400, matrix.CodeBadJSON},
		"no identifier":  {obj{"new_password": "xxxx", "auth": obj{"type": "m.login.password", "password": secret}}, 400, matrix.CodeMissingParam},
		"third-party id": {obj{"new_password": "xxxx", "auth": obj{"type": "m.login.password", "password": secret, "identifier": obj{"type": "m.id.thirdparty"}}}, 403, matrix.CodeForbidden},
		"logout is text": {obj{"new_password": "xxxx", "logout_devices": "no"}, 400, matrix.CodeBadJSON},
		"not JSON":       {"x", 400, matrix.CodeNotJSON},
	} {
		t.Run(name, func(t *testing.T) { g.in(t).post(u.token, v3+"/account/password", c.body).fails(c.status, c.code) })
	}
	g.login("alice", nil).ok()
}

func TestDeactivate(t *testing.T) {
	for _, erase := range []bool{false, true} {
		onBoth(t, nil, func(t *testing.T, g *rig) {
			u := g.register("alice")
			second := g.login("alice", obj{"refresh_token": true}).ok()
			body := obj{"erase": erase}
			g.post(u.token, v3+"/account/deactivate", body).challenged("", "m.login.password")
			body["auth"] = g.register("bob").passwordAuth()
			g.post(u.token, v3+"/account/deactivate", body).fails(403, matrix.CodeForbidden)
			g.works(u.token)
			g.forgot.take()
			body["auth"] = u.passwordAuth()
			require.Equal(t, obj{"id_server_unbind_result": "success"}, g.post(u.token, v3+"/account/deactivate", body).ok().body)
			require.Empty(t, g.forgot.take()[0].GetDeviceIds(), "all of them")
			g.ended(u.token, false)
			g.ended(second.text("access_token"), false)
			g.refresh(second.text("refresh_token")).refused(false)
			g.login("alice", nil).fails(403, matrix.CodeForbidden)
			g.login("alice", obj{"password": ""}).fails(403, matrix.CodeForbidden)
			g.post("", v3+"/register", obj{"username": "alice", "password": secret, "auth": dummy}).fails(400, matrix.CodeUserInUse)
			g.get("", v3+"/register/available?username=alice").fails(400, matrix.CodeUserInUse)
			profile := g.get("", v3+"/profile/"+u.id)
			if erase {
				profile.fails(404, matrix.CodeNotFound)
			} else {
				require.Equal(t, "alice", profile.ok().body["displayname"])
			}
			log := g.events(u.id)
			at := slices.IndexFunc(g.kinds(u.id), func(k identitypb.UserEventKind) bool {
				return k == identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED
			})
			var event identitypb.UserEvent
			require.NoError(t, proto.Unmarshal(log[at].GetBody(), &event))
			require.Equal(t, erase, event.GetErase())
			require.Len(t, event.GetDeviceIds(), 2)
		})
	}
}
