package identity_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/service/identity"
)

func TestLoginFlows(t *testing.T) {
	g := onSQLite(t, nil)
	require.Equal(t, []any{
		obj{"type": "m.login.password"}, obj{"type": "m.login.token", "get_login_token": true},
	}, g.get("", v3+"/login").ok().body["flows"])
}

func TestLogin(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		for name, body := range map[string]obj{
			"localpart":       {"identifier": obj{"type": "m.id.user", "user": "alice"}},
			"user id":         {"identifier": obj{"type": "m.id.user", "user": "@alice:hs"}},
			"capitals":        {"identifier": obj{"type": "m.id.user", "user": "@ALICE:hs"}},
			"deprecated user": {"identifier": nil, "user": "alice"},
		} {
			t.Run(name, func(t *testing.T) {
				g := g.in(t)
				a := g.login("", body).ok()
				require.Equal(t, u.id, a.body["user_id"])
				require.Equal(t, "hs", a.body["home_server"])
				require.Regexp(t, `^[A-Z]{10}$`, a.text("device_id"))
				g.works(a.text("access_token"))
				require.NotContains(t, a.body, "refresh_token")
				require.NotContains(t, a.body, "expires_in_ms")
			})
		}
		g.works(u.token)
	})
}

func TestLoginErrors(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.register("alice")
		id := func(x obj) obj { return obj{"identifier": x} }
		for name, c := range map[string]struct {
			body   any
			status int
			code   matrix.ErrCode
		}{
			"wrong password":       {obj{"password": "wrong"}, 403, matrix.CodeForbidden},
			"empty password":       {obj{"password": ""}, 403, matrix.CodeForbidden},
			"long password":        {obj{"password": strings.Repeat("p", 600)}, 403, matrix.CodeForbidden},
			"unknown user":         {id(obj{"type": "m.id.user", "user": "nobody"}), 403, matrix.CodeForbidden},
			"other server":         {id(obj{"type": "m.id.user", "user": "@alice:other"}), 403, matrix.CodeForbidden},
			"impossible name":      {id(obj{"type": "m.id.user", "user": "no way"}), 403, matrix.CodeForbidden},
			"empty name":           {id(obj{"type": "m.id.user", "user": ""}), 403, matrix.CodeForbidden},
			"third-party id":       {id(obj{"type": "m.id.thirdparty", "medium": "email", "address": "a@b"}), 403, matrix.CodeForbidden},
			"third-party, untyped": {id(obj{"medium": "email", "address": "a@b"}), 403, matrix.CodeForbidden},
			"phone":                {id(obj{"type": "m.id.phone", "country": "GB", "phone": "1"}), 403, matrix.CodeForbidden},
			"deprecated email":     {obj{"identifier": nil, "medium": "email", "address": "a@b"}, 403, matrix.CodeForbidden},
			"no identifier":        {obj{"identifier": nil}, 400, matrix.CodeMissingParam},
			"no user":              {id(obj{"type": "m.id.user"}), 400, matrix.CodeMissingParam},
			"no identifier type":   {id(obj{"user": "alice"}), 400, matrix.CodeMissingParam},
			"unknown identifier":   {id(obj{"type": "m.id.soul", "user": "alice"}), 400, matrix.CodeInvalidParam},
			"no password":          {obj{"password": nil}, 400, matrix.CodeMissingParam},
			"no type":              {obj{"type": nil}, 400, matrix.CodeMissingParam},
			"unknown type":         {obj{"type": "m.login.magic"}, 400, matrix.CodeUnknown},
			"type is a number":     {obj{"type": 1}, 400, matrix.CodeBadJSON},
			"user is a number":     {id(obj{"type": "m.id.user", "user": 1}), 400, matrix.CodeBadJSON},
			"token is missing":     {obj{"type": "m.login.token"}, 400, matrix.CodeMissingParam},
			"token is wrong":       {obj{"type": "m.login.token", "token": "x"}, 403, matrix.CodeForbidden},
			"long device id":       {obj{"device_id": strings.Repeat("d", 256)}, 400, matrix.CodeInvalidParam},
			"every device":         {obj{"device_id": "*"}, 400, matrix.CodeInvalidParam},
		} {
			t.Run(name, func(t *testing.T) {
				g := g.in(t)
				g.login("alice", c.body.(obj)).fails(c.status, c.code)
			})
		}
		g.post("", v3+"/login", "nonsense").fails(400, matrix.CodeNotJSON)
		unknown := g.login("nobody", nil).fails(403, matrix.CodeForbidden)
		wrong := g.login("alice", obj{"password": "wrong"}).fails(403, matrix.CodeForbidden)
		require.Equal(t, unknown.raw, wrong.raw)
	})
}

// A log-in with a device that the user has ends its tokens and keeps the device.
func TestLoginWithKnownDevice(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		before := g.events(u.id)
		a := g.login("alice", obj{"device_id": u.device, "initial_device_display_name": "ignored"}).ok()
		require.Equal(t, u.device, a.body["device_id"])
		g.ended(u.token, false)
		g.works(a.text("access_token"))
		devices := g.get(a.text("access_token"), v3+"/devices").ok().body["devices"].([]any)
		require.Len(t, devices, 1)
		require.NotContains(t, devices[0], "display_name")
		forgot := g.forgot.take()
		require.Len(t, forgot, 1)
		require.Equal(t, u.id, forgot[0].GetUserId())
		require.Equal(t, []string{u.device}, forgot[0].GetDeviceIds())
		require.Equal(t, before, g.events(u.id), "the device is neither new nor gone")
	})
}

func TestLoginsAtOnce(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		const n = 12
		tokens := make([]string, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				extra := obj{}
				if i%2 == 0 {
					extra["device_id"] = "SHARED"
				}
				tokens[i] = g.login("alice", extra).ok().text("access_token")
			})
		}
		wg.Wait()
		shared := 0
		for i, token := range tokens {
			if i%2 == 1 {
				g.works(token)
			} else if g.get(token, v3+"/account/whoami").status == 200 {
				shared++
			}
		}
		require.Equal(t, 1, shared, "only the last token of a device lives")
		require.Len(t, g.get(u.token, v3+"/devices").ok().body["devices"], 1+n/2+1)
	})
}

func TestLoginLimit(t *testing.T) {
	g := onSQLite(t, func(c *identity.Config) {
		c.LoginFailures = identity.FailureConfig{Burst: 3, Interval: 10 * time.Second}
	})
	u := g.register("alice")
	wrong := obj{"password": "wrong"}
	for range 5 {
		g.login("alice", nil).ok() // what is right does not count
	}
	for range 3 {
		g.login("alice", wrong).fails(403, matrix.CodeForbidden)
	}
	a := g.login("Alice", nil).fails(429, matrix.CodeLimitExceeded)
	require.EqualValues(t, 10_000, a.body["retry_after_ms"])
	require.Equal(t, "10", a.header.Get("Retry-After"))
	// A session has a counter of its own, whoever fails to log in.
	session, auth := obj{"auth": u.passwordAuth()}, u.passwordAuth()
	auth["password"] = "wrong"
	for range 3 {
		g.post(u.token, getToken, session).ok()
		g.post(u.token, getToken, obj{"auth": auth}).challenged(matrix.CodeForbidden, "m.login.password")
	}
	g.post(u.token, getToken, session).fails(429, matrix.CodeLimitExceeded)
	for range 3 {
		g.login("nobody", wrong).fails(403, matrix.CodeForbidden)
	}
	g.login("nobody", wrong).fails(429, matrix.CodeLimitExceeded)
	g.clock.add(10 * time.Second)
	g.login("alice", wrong).fails(403, matrix.CodeForbidden)
	g.login("alice", nil).fails(429, matrix.CodeLimitExceeded)
	g.clock.add(10 * time.Second)
	g.login("alice", nil).ok()
	g.works(u.token)
}

func TestLoginLocked(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		ctx := context.Background()
		yes, no := true, false
		status, err := g.admin.SetStatus(ctx, &identitypb.SetStatusRequest{Name: "alice", Locked: &yes})
		require.NoError(t, err)
		require.True(t, status.GetLocked())
		require.Len(t, g.forgot.take(), 1)
		for _, a := range []*answer{g.login("alice", nil), g.get(u.token, v3+"/devices")} {
			a.fails(401, matrix.CodeUserLocked)
			require.Equal(t, true, a.body["soft_logout"])
		}
		g.login("alice", obj{"password": "wrong"}).fails(403, matrix.CodeForbidden)
		_, err = g.admin.SetStatus(ctx, &identitypb.SetStatusRequest{Name: "alice", Locked: &no})
		require.NoError(t, err)
		g.works(u.token)
		_, err = g.admin.SetStatus(ctx, &identitypb.SetStatusRequest{Name: "alice", Locked: &yes})
		require.NoError(t, err)
		g.post(u.token, v3+"/logout", nil).ok()
	})
}

// A password is hashed anew when the parameters have changed, and works before and after.
func TestRehash(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			t.Run("old", func(t *testing.T) { newRig(t, url, nil).register("alice") })
			g := newRig(t, url, func(c *identity.Config) { c.Passwords.Iterations = 2 })
			phc := func() (phc string) {
				require.NoError(t, g.db.QueryRow(context.Background(),
					`SELECT password FROM account WHERE user_id = $1`, "@alice:hs").Scan(&phc))
				return phc
			}
			require.Contains(t, phc(), "$argon2id$v=19$m=64,t=1,p=1$")
			g.login("alice", obj{"password": "wrong"}).fails(403, matrix.CodeForbidden)
			require.Contains(t, phc(), "t=1")
			g.login("alice", nil).ok()
			require.Contains(t, phc(), "$argon2id$v=19$m=64,t=2,p=1$")
			g.login("alice", nil).ok()
		})
	}
}

const getToken = "/_matrix/client/v1/login/get_token"

func TestLoginToken(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		g.post("", getToken, nil).fails(401, matrix.CodeMissingToken)
		session := g.post(u.token, getToken, nil).challenged("", "m.login.password")
		auth := u.passwordAuth()
		auth["session"] = session
		fresh := func() string {
			a := g.post(u.token, getToken, obj{"auth": auth}).ok()
			require.EqualValues(t, 120_000, a.body["expires_in_ms"])
			return a.text("login_token")
		}
		token := fresh()
		// It asks again, every time.
		g.post(u.token, getToken, obj{"auth": obj{"session": session}}).challenged("", "m.login.password")

		login := func(token string) *answer {
			return g.post("", v3+"/login", obj{"type": "m.login.token", "token": token, "device_id": "TWO", "refresh_token": true})
		}
		a := login(token).ok()
		require.Equal(t, u.id, a.body["user_id"])
		require.Equal(t, "TWO", a.body["device_id"])
		a.text("refresh_token")
		g.works(a.text("access_token"))
		login(token).fails(403, matrix.CodeForbidden)

		late := fresh()
		g.clock.add(2 * time.Minute)
		login(late).fails(403, matrix.CodeForbidden)

		// The oldest of too many are gone.
		var all []string
		for range 10 {
			all = append(all, fresh())
			g.clock.add(time.Millisecond)
		}
		login(all[0]).fails(403, matrix.CodeForbidden)
		login(all[9]).ok()
	})
}

func TestLoginTokenOnce(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		u := g.register("alice")
		token := g.post(u.token, getToken, obj{"auth": u.passwordAuth()}).ok().text("login_token")
		const n = 10
		status := make([]int, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				status[i] = g.post("", v3+"/login", obj{"type": "m.login.token", "token": token}).status
			})
		}
		wg.Wait()
		won := 0
		for _, x := range status {
			if x == 200 {
				won++
			} else {
				require.Equal(t, 403, x)
			}
		}
		require.Equal(t, 1, won)
	})
}

// A log-in for nobody does the same work as any: it is refused when too much of it is waiting.
func TestBusy(t *testing.T) {
	g := onSQLite(t, func(c *identity.Config) {
		c.Passwords.Concurrency, c.Passwords.Queue = 1, 0
		c.Passwords.MemoryKiB, c.Passwords.Iterations = 32<<10, 4
	})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					g.login("somebody", nil)
				}
			}
		})
	}
	a := g.login("nobody", nil)
	for a.status == http.StatusForbidden {
		a = g.login("nobody", nil)
	}
	a.fails(429, matrix.CodeLimitExceeded)
	require.Equal(t, "1", a.header.Get("Retry-After"))
	close(stop)
	wg.Wait()
	g.login("nobody", nil).fails(403, matrix.CodeForbidden)
}

// What is stored of tokens cannot be used as tokens.
func TestTokensAreStoredHashed(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.register("alice")
		a := g.login("alice", obj{"refresh_token": true}).ok()
		rows, err := g.db.Query(context.Background(), `SELECT token_id, access_hash, refresh_hash FROM token`)
		require.NoError(t, err)
		defer rows.Close()
		n := 0
		for rows.Next() {
			var id string
			var access, refresh []byte
			require.NoError(t, rows.Scan(&id, &access, &refresh))
			for _, stored := range []string{id, hex.EncodeToString(access), hex.EncodeToString(refresh)} {
				if stored == "" {
					continue
				}
				require.NotContains(t, stored, a.text("access_token"))
				require.NotContains(t, stored, a.text("refresh_token"))
				_, err := g.identity.Authenticate(context.Background(), &identitypb.AuthenticateRequest{AccessToken: stored})
				var e *matrix.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, matrix.CodeUnknownToken, e.Code)
				n++
			}
		}
		require.NoError(t, rows.Err())
		require.Equal(t, 5, n)
	})
}
