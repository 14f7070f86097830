package identity_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/service/identity"
)

// pair is what a client that refreshes holds.
type pair struct{ access, refresh string }

func (g *rig) loginPair(name string) (pair, string) {
	g.Helper()
	a := g.login(name, obj{"refresh_token": true}).ok()
	return pair{a.text("access_token"), a.text("refresh_token")}, a.text("device_id")
}

func (g *rig) refresh(token string) *answer {
	g.Helper()
	return g.post("", v3+"/refresh", obj{"refresh_token": token})
}

func (a *answer) pair() pair {
	a.t.Helper()
	a.ok()
	require.EqualValues(a.t, 300_000, a.body["expires_in_ms"])
	require.NotContains(a.t, a.body, "device_id")
	return pair{a.text("access_token"), a.text("refresh_token")}
}

func (a *answer) refused(soft bool) {
	a.t.Helper()
	a.fails(401, matrix.CodeUnknownToken)
	require.Equal(a.t, soft, a.body["soft_logout"] == true, a.raw)
}

func TestRefresh(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.register("alice")
		one, device := g.loginPair("alice")
		two := g.refresh(one.refresh).pair()
		// The old pair lives until the new access token is used, and until then the answer is the same: it may have
		// got lost.
		g.works(one.access)
		again := g.refresh(one.refresh).pair()
		require.Equal(t, two, again)
		g.works(again.access)
		g.ended(one.access, true)
		g.refresh(one.refresh).refused(true)

		// The use of the new refresh token ends the old pair too.
		three := g.refresh(again.refresh).pair()
		four := g.refresh(three.refresh).pair()
		g.ended(again.access, true)
		g.works(three.access)
		g.works(four.access)
		g.ended(three.access, true)
		who := g.get(four.access, v3+"/account/whoami").ok()
		require.Equal(t, device, who.body["device_id"])

		g.post(four.access, v3+"/logout", nil).ok()
		g.refresh(four.refresh).refused(false)
		g.ended(four.access, false)
	})
}

func TestRefreshExpiry(t *testing.T) {
	onBoth(t, func(c *identity.Config) { c.Tokens.Refresh = time.Hour }, func(_ *testing.T, g *rig) {
		g.register("alice")
		one, _ := g.loginPair("alice")
		g.clock.add(5*time.Minute - time.Millisecond)
		g.works(one.access)
		g.clock.add(time.Millisecond)
		g.ended(one.access, true)
		two := g.refresh(one.refresh).pair()
		g.works(two.access)
		g.clock.add(time.Hour)
		g.refresh(two.refresh).refused(true)
		g.ended(two.access, true)
		// A log-in with the same device goes on.
		g.login("alice", nil).ok()
	})
}

func TestAccessExpiry(t *testing.T) {
	g := onSQLite(t, func(c *identity.Config) { c.Tokens.Access = time.Hour })
	g.register("alice")
	a := g.login("alice", nil).ok()
	require.EqualValues(t, 3_600_000, a.body["expires_in_ms"])
	require.NotContains(t, a.body, "refresh_token")
	g.clock.add(time.Hour)
	g.ended(a.text("access_token"), true)
}

func TestRefreshErrors(t *testing.T) {
	g := onSQLite(t, nil)
	g.refresh("unknown").refused(false)
	g.post("", v3+"/refresh", nil).fails(400, matrix.CodeMissingParam)
	g.post("", v3+"/refresh", obj{"refresh_token": nil}).fails(400, matrix.CodeMissingParam)
	g.post("", v3+"/refresh", obj{"refresh_token": 1}).fails(400, matrix.CodeBadJSON)
	u := g.register("alice")
	g.refresh(u.token).refused(false) // an access token is none
	one, _ := g.loginPair("alice")
	g.ended(one.refresh, false) // and a refresh token opens nothing else
}

// The answer is the same for as long as it is worth something, with what is left of its time.
func TestRefreshRepeatedLate(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.register("alice")
		one, _ := g.loginPair("alice")
		two := g.refresh(one.refresh).pair()
		g.clock.add(5*time.Minute - time.Millisecond)
		late := g.refresh(one.refresh).ok()
		require.Equal(t, two, pair{late.text("access_token"), late.text("refresh_token")})
		require.EqualValues(t, 1, late.body["expires_in_ms"])
		g.clock.add(time.Millisecond)
		three := g.refresh(one.refresh).pair()
		require.NotEqual(t, two, three)
		g.works(three.access)
		g.ended(two.access, true)
		g.refresh(two.refresh).refused(true)
		g.refresh(one.refresh).refused(true)
		// What a pair was made of is gone once it is in use.
		var seeds int64
		require.NoError(t, g.db.QueryRow(context.Background(),
			`SELECT count(*) FROM token WHERE seed IS NOT NULL AND NOT revoked`).Scan(&seeds))
		require.Zero(t, seeds)
	})
}

// However often a refresh is repeated, what is kept is bounded, and what is used last works.
func TestRefreshRepeated(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.register("alice")
		one, device := g.loginPair("alice")
		var last pair
		for range 20 {
			g.clock.add(5 * time.Minute) // until which the answer would be the same
			last = g.refresh(one.refresh).pair()
		}
		rows := func() (n int64) {
			require.NoError(t, g.db.QueryRow(context.Background(),
				`SELECT count(*) FROM token WHERE device_id = $1`, device).Scan(&n))
			return n
		}
		require.LessOrEqual(t, rows(), int64(5))
		for range 20 {
			g.works(last.access)
			last = g.refresh(last.refresh).pair()
		}
		g.works(last.access)
		require.LessOrEqual(t, rows(), int64(3))
	})
}

// Refreshing and using tokens at the same time leaves exactly one live pair, which is the one that was answered.
func TestRefreshAtOnce(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.register("alice")
		one, _ := g.loginPair("alice")
		const n = 16
		pairs := make([]pair, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if a := g.refresh(one.refresh); a.status == 200 {
					pairs[i] = a.pair()
					g.get(pairs[i].access, v3+"/account/whoami")
				} else {
					a.refused(true)
				}
			})
		}
		wg.Wait()
		live := map[pair]bool{}
		for _, p := range pairs {
			if p.access != "" {
				g.works(p.access)
				live[p] = true
			}
		}
		require.Len(t, live, 1)
		g.ended(one.access, true)
	})
}
