package identity_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/test/pgtest"
)

// Two instances on one database know the same, at once.
func TestTwoInstances(t *testing.T) {
	url := pgtest.Start(t)
	one, two := newRig(t, url, nil), newRig(t, url, nil)
	u := one.register("alice")
	two.works(u.token)
	two.login("alice", nil).ok()

	// A session begun with one goes on with the other.
	session := one.post(u.token, getToken, nil).challenged("", "m.login.password")
	auth := u.passwordAuth()
	auth["session"] = session
	token := two.post(u.token, getToken, obj{"auth": auth}).ok().text("login_token")
	one.post("", v3+"/login", obj{"type": "m.login.token", "token": token}).ok()

	// One name, two instances, one account.
	const n = 20
	answers := make([]*answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			g := []*rig{one, two}[i%2]
			answers[i] = g.post("", v3+"/register", obj{"username": "same", "password": secret, "auth": dummy})
		})
		wg.Go(func() {
			g := []*rig{one, two}[i%2]
			g.setField(u, fmt.Sprintf("org.x.f%d", i), i).ok()
		})
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.status == 200 {
			won++
		} else {
			require.Equal(t, 400, a.status, a.raw)
		}
	}
	require.Equal(t, 1, won)
	require.Len(t, one.get("", v3+"/profile/"+u.id).ok().body, 1+n)
	require.Equal(t, one.get("", v3+"/profile/"+u.id).ok().body, two.get("", v3+"/profile/"+u.id).ok().body)

	two.post(u.token, v3+"/logout/all", nil).ok()
	one.ended(u.token, false)
}

// What was acknowledged is there after a restart.
func TestRestart(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			var u user
			var p pair
			t.Run("before", func(t *testing.T) {
				g := newRig(t, url, nil)
				u = g.register("alice")
				p, _ = g.loginPair("alice")
				g.setField(u, "displayname", "A").ok()
			})
			g := newRig(t, url, nil)
			g.works(u.token)
			g.refresh(p.refresh).pair()
			g.login("alice", nil).ok()
			require.Equal(t, "A", g.get("", v3+"/profile/"+u.id).ok().body["displayname"])
			require.Len(t, g.events(u.id), 5)
		})
	}
}
