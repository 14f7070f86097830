package identity_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/service/identity"
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

// Guesses that are spread over the instances count together, and survive those that they were made at.
func TestLoginLimitOfInstances(t *testing.T) {
	url := pgtest.Start(t)
	limit := func(c *identity.Config) {
		c.LoginFailures = identity.FailureConfig{Burst: 3, Interval: time.Hour, AccountBurst: 10, AccountInterval: time.Minute}
	}
	all := []*rig{newRig(t, url, limit), newRig(t, url, limit), newRig(t, url, limit)}
	wrong := obj{"password": "wrong"}
	all[0].at("192.0.2.1").register("alice")
	for i := range 3 {
		all[i].at("198.51.100.1").login("alice", wrong).fails(403, matrix.CodeForbidden)
	}
	for _, g := range append(all, newRig(t, url, limit)) {
		g.at("198.51.100.1").login("alice", nil).fails(429, matrix.CodeLimitExceeded)
	}
	for i := range 7 { // of the account's 10
		all[i%3].at(fmt.Sprintf("203.0.113.%d", i)).login("alice", wrong).fails(403, matrix.CodeForbidden)
	}
	for _, g := range all {
		g.at("203.0.113.99").login("alice", nil).fails(429, matrix.CodeLimitExceeded)
		g.at("192.0.2.1").login("alice", nil).ok()
	}
	for _, g := range all {
		g.clock.add(time.Hour)
	}
	all[1].at("198.51.100.1").login("alice", nil).ok()
}

// Guesses that come to several instances at once may be more, and are waited for.
func TestLoginLimitOfInstancesAtOnce(t *testing.T) {
	url := pgtest.Start(t)
	const burst = 3
	limit := func(c *identity.Config) {
		c.LoginFailures = identity.FailureConfig{Burst: burst, Interval: time.Hour}
	}
	all := []*rig{newRig(t, url, limit), newRig(t, url, limit)}
	all[0].register("alice")
	var checked atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			if all[i%2].login("alice", obj{"password": "wrong"}).status == 403 {
				checked.Add(1)
			}
		})
	}
	wg.Wait()
	require.GreaterOrEqual(t, checked.Load(), int64(burst))
	require.LessOrEqual(t, checked.Load(), int64(2*burst))
	debt := time.Duration(checked.Load()-burst) * time.Hour
	for _, g := range all {
		g.clock.add(debt)
		g.login("alice", nil).fails(429, matrix.CodeLimitExceeded)
		g.clock.add(time.Hour)
	}
	all[0].login("alice", nil).ok()
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
