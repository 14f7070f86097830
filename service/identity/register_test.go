package identity_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/platform/obs"
	"hongyan/service/identity"
)

func TestRegister(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		a := g.post("", v3+"/register", obj{
			"username": "Alice", "password": secret, "auth": dummy,
			"device_id": "PHONE", "initial_device_display_name": "Phone",
		}).ok()
		require.Equal(t, "@alice:hs", a.body["user_id"])
		require.Equal(t, "PHONE", a.body["device_id"])
		require.Equal(t, "hs", a.body["home_server"])
		require.NotContains(t, a.body, "refresh_token")
		require.NotContains(t, a.body, "expires_in_ms")

		who := g.get(a.text("access_token"), v3+"/account/whoami").ok()
		require.Equal(t, obj{"user_id": "@alice:hs", "device_id": "PHONE", "is_guest": false}, who.body)
		devices := g.get(a.text("access_token"), v3+"/devices").ok()
		require.Equal(t, []any{obj{
			"device_id": "PHONE", "display_name": "Phone", "last_seen_ip": "192.0.2.7", "last_seen_ts": float64(1_700_000_000_000),
		}}, devices.body["devices"])
		require.Equal(t, obj{"displayname": "alice"}, g.get("", v3+"/profile/@alice:hs").ok().body)

		log := g.events("@alice:hs")
		require.Len(t, log, 2)
		require.Equal(t, int32(identitypb.UserEventKind_USER_EVENT_KIND_REGISTERED), log[0].GetKind())
		require.Equal(t, int32(identitypb.UserEventKind_USER_EVENT_KIND_DEVICE_ADDED), log[1].GetKind())
		var event identitypb.UserEvent
		require.NoError(t, proto.Unmarshal(log[0].GetBody(), &event))
		require.Equal(t, "@alice:hs", event.GetUserId())
		require.Equal(t, "alice", event.GetProfile().GetDisplayName())
		require.NoError(t, proto.Unmarshal(log[1].GetBody(), &event))
		require.Equal(t, []string{"PHONE"}, event.GetDeviceIds())
	})
}

func TestRegisterVariants(t *testing.T) {
	g := onSQLite(t, nil)
	t.Run("inhibit_login", func(t *testing.T) {
		g := g.in(t)
		a := g.post("", v3+"/register", obj{"username": "bob", "password": secret, "auth": dummy, "inhibit_login": true}).ok()
		require.Equal(t, obj{"user_id": "@bob:hs", "home_server": "hs"}, a.body)
		g.login("bob", nil).ok()
	})
	t.Run("name made up", func(t *testing.T) {
		g := g.in(t)
		a := g.post("", v3+"/register", obj{"password": secret, "auth": dummy}).ok()
		require.Regexp(t, `^@[a-z0-9]{12}:hs$`, a.text("user_id"))
		require.Regexp(t, `^[A-Z]{10}$`, a.text("device_id"))
	})
	t.Run("all characters", func(t *testing.T) {
		g := g.in(t)
		a := g.post("", v3+"/register", obj{"username": "a.b_c=d-e/f+0", "password": secret, "auth": dummy}).ok()
		require.Equal(t, "@a.b_c=d-e/f+0:hs", a.text("user_id"))
	})
	t.Run("refresh token", func(t *testing.T) {
		g := g.in(t)
		a := g.post("", v3+"/register", obj{"username": "carol", "password": secret, "auth": dummy, "refresh_token": true}).ok()
		a.text("refresh_token")
		require.EqualValues(t, 300_000, a.body["expires_in_ms"])
	})
	t.Run("kind user", func(t *testing.T) {
		g := g.in(t)
		g.post("", v3+"/register?kind=user", obj{"username": "dave", "password": secret, "auth": dummy}).ok()
	})
}

func TestRegisterErrors(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.register("taken")
		body := func(extra obj) obj {
			b := obj{"username": "new", "password": secret, "auth": dummy}
			for k, v := range extra {
				b[k] = v
			}
			return b
		}
		for name, c := range map[string]struct {
			query  string
			body   any
			status int
			code   matrix.ErrCode
		}{
			"taken":                  {"", body(obj{"username": "taken"}), 400, matrix.CodeUserInUse},
			"taken in capitals":      {"", body(obj{"username": "TAKEN"}), 400, matrix.CodeUserInUse},
			"taken, before auth":     {"", obj{"username": "taken"}, 400, matrix.CodeUserInUse},
			"character":              {"", body(obj{"username": "no way"}), 400, matrix.CodeInvalidUsername},
			"character, before auth": {"", obj{"username": "no!"}, 400, matrix.CodeInvalidUsername},
			"underscore first":       {"", body(obj{"username": "_bridged"}), 400, matrix.CodeInvalidUsername},
			"user id":                {"", body(obj{"username": "@new:hs"}), 400, matrix.CodeInvalidUsername},
			"empty name":             {"", body(obj{"username": ""}), 400, matrix.CodeInvalidUsername},
			"long name":              {"", body(obj{"username": strings.Repeat("a", 252)}), 400, matrix.CodeInvalidUsername},
			"name is a number":       {"", body(obj{"username": 1}), 400, matrix.CodeBadJSON},
			"password is a number":   {"", body(obj{"password": 1}), 400, matrix.CodeBadJSON},
			"empty password":         {"", body(obj{"password": ""}), 400, matrix.CodeWeakPassword},
			"long password":          {"", body(obj{"password": strings.Repeat("p", 513)}), 400, matrix.CodeInvalidParam},
			"no password":            {"", obj{"username": "new", "auth": dummy}, 400, matrix.CodeMissingParam},
			"device id is a list":    {"", body(obj{"device_id": []int{}}), 400, matrix.CodeBadJSON},
			"long device id":         {"", body(obj{"device_id": strings.Repeat("d", 256)}), 400, matrix.CodeInvalidParam},
			"long device name":       {"", body(obj{"initial_device_display_name": strings.Repeat("d", 256)}), 400, matrix.CodeTooLarge},
			"auth is a string":       {"", body(obj{"auth": "dummy"}), 400, matrix.CodeBadJSON},
			"inhibit_login is text":  {"", body(obj{"inhibit_login": "yes"}), 400, matrix.CodeBadJSON},
			"not JSON":               {"", "{", 400, matrix.CodeNotJSON},
			"bad UTF-8":              {"", "{\"username\":\"\xff\"}", 400, matrix.CodeNotJSON},
			"a list":                 {"", "[]", 400, matrix.CodeBadJSON},
			"NUL":                    {"", `{"username":"a\u0000"}`, 400, matrix.CodeBadJSON},
			"guest":                  {"?kind=guest", obj{}, 403, matrix.CodeGuestAccessForbidden},
			"unknown kind":           {"?kind=admin", body(nil), 400, matrix.CodeInvalidParam},
			"too large":              {"", `{"a":"` + strings.Repeat("a", 300<<10) + `"}`, 413, matrix.CodeTooLarge},
		} {
			t.Run(name, func(t *testing.T) { g.in(t).post("", v3+"/register"+c.query, c.body).fails(c.status, c.code) })
		}
		g.login("new", nil).fails(403, matrix.CodeForbidden) // none of them made the account
	})
}

func TestRegisterAuth(t *testing.T) {
	g := onSQLite(t, nil)
	for name, body := range map[string]any{
		"empty body": nil, "empty object": "{}", "no auth": obj{"username": "a", "password": "b"},
		"null auth": obj{"auth": nil}, "empty auth": obj{"auth": obj{}},
	} {
		t.Run(name, func(t *testing.T) { g.in(t).post("", v3+"/register", body).challenged("", "m.login.dummy") })
	}
	t.Run("session and dummy", func(t *testing.T) {
		g := g.in(t)
		session := g.post("", v3+"/register", nil).challenged("", "m.login.dummy")
		g.post("", v3+"/register", obj{
			"username": "zoe", "password": secret, "auth": obj{"type": "m.login.dummy", "session": session},
		}).ok()
	})
	t.Run("session alone", func(t *testing.T) {
		g := g.in(t)
		session := g.post("", v3+"/register", nil).challenged("", "m.login.dummy")
		again := g.post("", v3+"/register", obj{"auth": obj{"session": session}}).challenged("", "m.login.dummy")
		require.Equal(t, session, again)
	})
	t.Run("stage that is not offered", func(t *testing.T) {
		g := g.in(t)
		g.post("", v3+"/register", obj{"auth": obj{"type": "m.login.recaptcha"}}).
			challenged(matrix.CodeUnrecognized, "m.login.dummy")
	})
	t.Run("unknown session", func(t *testing.T) {
		g := g.in(t)
		a := g.post("", v3+"/register", obj{"auth": obj{"type": "m.login.dummy", "session": "none"}})
		require.NotEqual(t, "none", a.challenged(matrix.CodeForbidden, "m.login.dummy"))
	})
}

func TestRegisterOnceOfMany(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		const n = 50
		answers := make([]*answer, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				answers[i] = g.post("", v3+"/register", obj{"username": "one", "password": secret, "auth": dummy})
			})
		}
		wg.Wait()
		won := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				won++
				g.works(a.text("access_token"))
				continue
			}
			a.fails(400, matrix.CodeUserInUse)
		}
		require.Equal(t, 1, won)
		require.Len(t, g.events("@one:hs"), 2)
	})
}

func TestAvailable(t *testing.T) {
	g := onSQLite(t, nil)
	g.register("taken")
	require.Equal(t, obj{"available": true}, g.get("", v3+"/register/available?username=free").ok().body)
	g.get("", v3+"/register/available?username=Taken").fails(400, matrix.CodeUserInUse)
	g.get("", v3+"/register/available?username=no%20way").fails(400, matrix.CodeInvalidUsername)
	g.get("", v3+"/register/available?username=").fails(400, matrix.CodeInvalidUsername)
	g.get("", v3+"/register/available?username=%00").fails(400, matrix.CodeInvalidUsername)
	g.get("", v3+"/register/available?username=%ff").fails(400, matrix.CodeInvalidUsername)
	g.get("", v3+"/register/available?username=_bridged").fails(400, matrix.CodeInvalidUsername)
	g.get("", v3+"/register/available").fails(400, matrix.CodeMissingParam)
}

func TestRegistrationClosed(t *testing.T) {
	g := onSQLite(t, func(c *identity.Config) { c.Registration = identity.RegistrationClosed })
	g.post("", v3+"/register", obj{"auth": dummy}).fails(403, matrix.CodeForbidden)
	g.post("", v3+"/register?kind=guest", obj{}).fails(403, matrix.CodeGuestAccessForbidden)
	g.get("", v3+"/register/available?username=free").fails(403, matrix.CodeForbidden)
	g.get("", validity+"?token=x").fails(403, matrix.CodeForbidden)
}

const validity = "/_matrix/client/v1/register/m.login.registration_token/validity"

func tokenMode(c *identity.Config) {
	c.Registration = identity.RegistrationToken
	c.RegistrationTokens = []obs.Secret{"forever"}
}

func TestRegistrationToken(t *testing.T) {
	onBoth(t, tokenMode, func(t *testing.T, g *rig) {
		const stage = "m.login.registration_token"
		with := func(name, token string) *answer {
			return g.post("", v3+"/register", obj{
				"username": name, "password": secret, "auth": obj{"type": stage, "token": token},
			})
		}
		g.post("", v3+"/register", nil).challenged("", stage)
		g.post("", v3+"/register", obj{"auth": dummy}).challenged(matrix.CodeUnrecognized, stage)
		g.post("", v3+"/register", obj{"auth": obj{"type": stage}}).fails(400, matrix.CodeMissingParam)
		with("a", "wrong").challenged(matrix.CodeForbidden, stage)
		with("a", "no grammar!").challenged(matrix.CodeForbidden, stage)
		with("a", "forever").ok()
		with("b", "forever").ok()

		ctx := context.Background()
		twice := int64(2)
		_, err := g.admin.AddRegistrationToken(ctx, &identitypb.AddRegistrationTokenRequest{Token: "twice", UsesAllowed: &twice})
		require.NoError(t, err)
		require.Equal(t, obj{"valid": true}, g.get("", validity+"?token=twice").ok().body)
		with("taken", "twice").ok()
		with("taken", "twice").fails(400, matrix.CodeUserInUse) // does not count
		with("c", "twice").ok()
		require.Equal(t, obj{"valid": false}, g.get("", validity+"?token=twice").ok().body)
		with("d", "twice").challenged(matrix.CodeForbidden, stage)
		require.Equal(t, obj{"valid": false}, g.get("", validity+"?token="+strings.Repeat("x", 65)).ok().body)
		g.get("", validity).fails(400, matrix.CodeMissingParam)

		made, err := g.admin.AddRegistrationToken(ctx, &identitypb.AddRegistrationTokenRequest{
			ExpiresMs: g.clock.Now().UnixMilli() + 1000,
		})
		require.NoError(t, err)
		g.clock.add(999e6)
		with("e", made.GetToken()).ok()
		g.clock.add(1e6)
		with("f", made.GetToken()).challenged(matrix.CodeForbidden, stage)
	})
}

// A token of one use makes one account, however many ask at once.
func TestRegistrationTokenOfOneUse(t *testing.T) {
	onBoth(t, tokenMode, func(t *testing.T, g *rig) {
		one := int64(1)
		_, err := g.admin.AddRegistrationToken(context.Background(),
			&identitypb.AddRegistrationTokenRequest{Token: "once", UsesAllowed: &one})
		require.NoError(t, err)
		const n = 20
		answers := make([]*answer, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				answers[i] = g.post("", v3+"/register", obj{
					"username": "user" + string(rune('a'+i)), "password": secret,
					"auth": obj{"type": "m.login.registration_token", "token": "once"},
				})
			})
		}
		wg.Wait()
		won := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				won++
				continue
			}
			require.Contains(t, []int{401, 403}, a.status, a.raw)
			require.Equal(t, "M_FORBIDDEN", a.body["errcode"])
		}
		require.Equal(t, 1, won)
	})
}

func TestTerms(t *testing.T) {
	onBoth(t, func(c *identity.Config) {
		tokenMode(c)
		c.Terms = []identity.Policy{{ID: "terms", Version: "1", Languages: map[string]identity.PolicyText{
			"en": {Name: "Terms", URL: "https://hs/terms"},
		}}}
	}, func(t *testing.T, g *rig) {
		stages := []string{"m.login.registration_token", "m.login.terms"}
		body := func(name string, auth obj) obj { return obj{"username": name, "password": secret, "auth": auth} }
		a := g.post("", v3+"/register", obj{})
		session := a.challenged("", stages...)
		require.Equal(t, obj{"m.login.terms": obj{"policies": obj{
			"terms": obj{"version": "1", "en": obj{"name": "Terms", "url": "https://hs/terms"}},
		}}}, a.body["params"])

		// Out of order.
		g.post("", v3+"/register", body("x", obj{"type": stages[1], "session": session})).challenged(matrix.CodeUnrecognized, stages...)
		// The first stage; from now on the request is fixed.
		a = g.post("", v3+"/register", body("x", obj{"type": stages[0], "token": "forever", "session": session}))
		require.Equal(t, session, a.challenged("", stages...))
		require.Equal(t, []any{stages[0]}, a.body["completed"])
		g.post("", v3+"/register", body("y", obj{"type": stages[1], "session": session})).fails(403, matrix.CodeForbidden)
		// A stage that is complete cannot be tried again, not even failed.
		a = g.post("", v3+"/register", body("x", obj{"type": stages[0], "token": "wrong", "session": session}))
		a.challenged("", stages...)
		require.Equal(t, []any{stages[0]}, a.body["completed"])
		g.post("", v3+"/register", body("x", obj{"type": stages[1], "session": session})).ok()

		// The first stage without a session makes one.
		session = g.post("", v3+"/register", body("z", obj{"type": stages[0], "token": "forever"})).challenged("", stages...)
		g.clock.add(testConfig().Auth.Lifetime)
		g.post("", v3+"/register", body("z", obj{"type": stages[1], "session": session})).challenged(matrix.CodeForbidden, stages...)
	})
}

func TestDefaultDisplayName(t *testing.T) {
	g := onSQLite(t, func(c *identity.Config) { c.DefaultDisplayName = identity.DisplayNameNone })
	u := g.register("alice")
	g.get("", v3+"/profile/"+u.id).fails(404, matrix.CodeNotFound)
}
