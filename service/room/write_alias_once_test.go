package room_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// refuseEvents makes the database refuse new events until the returned function is called.
func (g *rig) refuseEvents() (allow func()) {
	exec := func(sql string) {
		g.t.Helper()
		_, err := g.db.Exec(context.Background(), sql)
		require.NoError(g.t, err)
	}
	exec(`ALTER TABLE event ADD CONSTRAINT refused CHECK (false) NOT VALID -- postgres
		CREATE TRIGGER refused BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'refused'); END -- sqlite`)
	return func() {
		exec(`ALTER TABLE event DROP CONSTRAINT refused -- postgres
			DROP TRIGGER refused -- sqlite`)
	}
}

// An alias and the event that names it go together or not at all.
func TestAliasGoesWithItsEvent(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.createWith("alice", map[string]any{"room_alias_name": "here"})
		allow := g.refuseEvents()
		a := g.do(http.MethodDelete, "alice", aliasPath("#here:hs"), nil)
		require.Equal(t, 503, a.status, string(a.body))
		allow()
		require.Equal(t, id, g.get("", aliasPath("#here:hs")).str("room_id"))
		require.Equal(t, map[string]any{"alias": "#here:hs"}, g.content("alice", id, "m.room.canonical_alias", ""))

		g.ok(http.MethodDelete, "alice", aliasPath("#here:hs"), nil)
		require.Equal(t, "M_NOT_FOUND", g.get("", aliasPath("#here:hs")).code())
		require.Empty(t, g.content("alice", id, "m.room.canonical_alias", ""))
		g.verify(id, event.V12)
	})
}

// A gateway that repeats a request gets the first one's answer, and nothing happens twice.
func TestAliasRequestsHappenOnce(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		as := func(key, method string, body any) answer {
			c := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: key}
			return g.doAs(c, method, aliasPath("#a:hs"), body)
		}
		here := map[string]string{"room_id": id}
		for range 2 {
			require.Equal(t, 200, as("k1", http.MethodPut, here).status)
		}
		require.Equal(t, 409, as("k2", http.MethodPut, here).status, "another request")
		g.setState("alice", id, "m.room.canonical_alias", "", map[string]any{"alias": "#a:hs"})
		for range 2 { // with an event
			require.Equal(t, 200, as("k3", http.MethodDelete, nil).status)
		}
		require.Equal(t, 404, as("k4", http.MethodDelete, nil).status)
		require.Equal(t, 200, as("k1", http.MethodPut, here).status)
		require.Equal(t, 200, as("k5", http.MethodPut, here).status, "the repetition has made nothing")
		for range 2 { // without one
			require.Equal(t, 200, as("k6", http.MethodDelete, nil).status)
		}
		require.Equal(t, 200, as("k7", http.MethodPut, here).status)
		require.Equal(t, 200, as("k6", http.MethodDelete, nil).status)
		require.Equal(t, id, g.get("", aliasPath("#a:hs")).str("room_id"), "the repetition has deleted nothing")
	})
}

// Of those who make the same alias at once, or delete it, one succeeds; they may meet in one batch or at two instances.
func TestAliasRaces(t *testing.T) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			url := open(t)
			first := newWorld(t, url, nil)
			worlds := []*world{first}
			if name != "sqlite" { // a file has one instance
				worlds = append(worlds, newWorld(t, url, first))
			}
			id, other := first.create(""), first.create("")
			for round := range 8 {
				named := round%2 == 0
				race := func(method string, body func(i int) any) map[int]int {
					statuses := map[int]int{}
					var mu sync.Mutex
					var wg sync.WaitGroup
					for i := range 12 {
						wg.Go(func() {
							c := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: fmt.Sprint(method, round, i)}
							a := worlds[i%len(worlds)].doAs(c, method, aliasPath("#a:hs"), body(i))
							mu.Lock()
							statuses[a.status]++
							mu.Unlock()
						})
					}
					wg.Wait()
					return statuses
				}
				made := race(http.MethodPut, func(i int) any { return map[string]string{"room_id": []string{id, other}[i/2%2]} })
				require.Equal(t, map[int]int{200: 1, 409: 11}, made)
				if named {
					to := first.get("", aliasPath("#a:hs")).str("room_id")
					first.setState("alice", to, "m.room.canonical_alias", "", map[string]any{"alias": "#a:hs"})
				}
				require.Equal(t, map[int]int{200: 1, 404: 11}, race(http.MethodDelete, func(int) any { return nil }))
				require.Empty(t, first.content("alice", id, "m.room.canonical_alias", ""))
				require.Empty(t, first.content("alice", other, "m.room.canonical_alias", ""))
			}
			first.verify(id, event.V12)
			first.verify(other, event.V12)
		})
	}
}
