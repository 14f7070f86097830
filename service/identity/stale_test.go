package identity_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	identitypb "hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/service/identity"
)

// A password that is changed after it was checked and before what it allows is done allows nothing.
func TestPasswordChangedMeanwhile(t *testing.T) {
	const path = v3 + "/account/password"
	for name, c := range map[string]struct {
		try func(g *rig, u user) *answer
		// want is the status: the answer of a log-in, or a challenge.
		want int
	}{
		"log-in":             {func(g *rig, _ user) *answer { return g.login("alice", nil) }, 403},
		"log-in of a device": {func(g *rig, u user) *answer { return g.login("alice", obj{"device_id": u.device}) }, 403},
		"login token":        {func(g *rig, u user) *answer { return g.post(u.token, getToken, obj{"auth": u.passwordAuth()}) }, 401},
		"password": {func(g *rig, u user) *answer {
			return g.post(u.token, path, obj{"new_password": "x", "auth": u.passwordAuth()})
		}, 401},
		"password without a session": {func(g *rig, u user) *answer {
			return g.post("", path, obj{"new_password": "x", "auth": u.passwordAuth()})
		}, 401},
		"deactivation": {func(g *rig, u user) *answer {
			return g.post(u.token, v3+"/account/deactivate", obj{"auth": u.passwordAuth()})
		}, 401},
		"devices": {func(g *rig, u user) *answer {
			return g.post(u.token, v3+"/delete_devices", obj{"devices": []string{u.device}, "auth": u.passwordAuth()})
		}, 401},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, nil, func(t *testing.T, g *rig) {
				u := g.register("alice")
				changed := false
				g.rand.before(func() {
					_, err := g.admin.SetPassword(t.Context(), &identitypb.SetPasswordRequest{Name: "alice", Password: "better horse"})
					changed = err == nil
				})
				a := c.try(g, u)
				require.True(t, changed)
				require.Equal(t, c.want, a.status, a.raw)
				require.Equal(t, string(matrix.CodeForbidden), a.body["errcode"], a.raw)
				if c.want == http.StatusUnauthorized {
					require.NotEmpty(t, a.text("session"))
				}
				g.works(u.token)
				require.Len(t, g.get(u.token, v3+"/devices").ok().body["devices"], 1)
				g.login("alice", obj{"password": "better horse"}).ok()
			})
		})
	}
}

// A password that is only hashed anew stays what it was.
func TestPasswordHashedAnewMeanwhile(t *testing.T) {
	g := onSQLite(t, nil)
	g.register("alice")
	other := newRig(t, g.database, func(c *identity.Config) { c.Passwords.Iterations = 2 })
	g.rand.before(func() { other.login("alice", nil).ok() })
	g.login("alice", nil).ok()
}

// Of many who name the old password at once, one changes it, and no session that was begun with it lives on.
func TestPasswordChangesAtOnce(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		const n = 8
		u := g.register("alice")
		changes, logins := make([]*answer, n), make([]*answer, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				changes[i] = g.post("", v3+"/account/password",
					obj{"new_password": fmt.Sprint("new ", i), "auth": u.passwordAuth()})
			})
			wg.Go(func() { logins[i] = g.login("alice", nil) })
		}
		wg.Wait()
		won := 0
		for i, a := range changes {
			if a.status == http.StatusOK {
				won++
				g.login("alice", obj{"password": fmt.Sprint("new ", i)}).ok()
			} else {
				a.challenged(matrix.CodeForbidden, "m.login.password")
			}
		}
		require.Equal(t, 1, won)
		for _, a := range logins {
			if a.status == http.StatusOK {
				g.ended(a.text("access_token"), false)
			}
		}
	})
}

// Where a user has as many devices as one may have, the one that was not seen for longest goes.
func TestDevicesAreBounded(t *testing.T) {
	onBoth(t, func(c *identity.Config) { c.MaxDevices = 3 }, func(t *testing.T, g *rig) {
		u := g.register("alice")
		g.clock.add(time.Millisecond)
		second := g.login("alice", obj{"device_id": "SECOND"}).ok().text("access_token")
		g.clock.add(time.Millisecond)
		third := g.login("alice", obj{"device_id": "THIRD"}).ok().text("access_token")
		g.clock.add(time.Millisecond)
		g.works(u.token)
		g.forgot.take()
		fourth := g.login("alice", obj{"device_id": "FOURTH"}).ok().text("access_token")
		require.Equal(t, []string{"SECOND"}, g.forgot.take()[0].GetDeviceIds())
		g.ended(second, false)
		for _, token := range []string{u.token, third, fourth} {
			g.works(token)
		}
		// A device that is there already ends no other.
		g.login("alice", obj{"device_id": "THIRD"}).ok()
		require.Len(t, g.get(u.token, v3+"/devices").ok().body["devices"], 3)
	})
}
