package room_test

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/room"
)

// TestProfilesOfOlderRooms takes the profiles away, as if the rooms had been written before there were any, and brings the
// database up to date.
func TestProfilesOfOlderRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		space := g.publish(map[string]any{
			"name": "space", "topic": "of geese", "room_alias_name": "space", "creation_content": map[string]any{"type": "m.space"},
		}, "bob", "carol")
		for range 210 {
			g.publish(nil)
		}
		plain := g.createWith("alice", map[string]any{"preset": "public_chat"})
		g.child(space, plain, map[string]any{"via": []string{"hs"}})
		gone := g.publish(nil, "bob")
		g.act("alice", gone, "leave")
		search := map[string]any{"filter": map[string]any{"generic_search_term": "GEESE", "room_types": []any{"m.space"}}}
		before := []answer{g.found("bob", nil), g.found("bob", search), g.hierarchy("bob", space, "")}
		require.Len(t, before[1].list("chunk"), 1)
		for _, table := range []string{"room_profile", "room_listing"} {
			_, err := g.db.Exec(t.Context(), `DELETE FROM `+table)
			require.NoError(t, err)
		}
		require.Empty(t, g.found("bob", nil).list("chunk"))
		require.NoError(t, room.Migrate(t.Context(), g.db))
		for i, a := range []answer{g.found("bob", nil), g.found("bob", search), g.hierarchy("bob", space, "")} {
			require.JSONEq(t, string(before[i].body), string(a.body))
		}
		require.NoError(t, room.Migrate(t.Context(), g.db), "once more changes nothing")
		require.JSONEq(t, string(before[0].body), string(g.found("bob", nil).body))
	})
}

// TestRedactedInTheSameBatch redacts a name and replaces it, or a topic, in one append: nothing of it stays, neither in what
// the next event remembers nor in the profile.
func TestRedactedInTheSameBatch(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for _, replaced := range []string{"m.room.name", "m.room.topic"} {
			id := g.publish(map[string]any{"topic": "geese"})
			name := g.setState("alice", id, "m.room.name", "", map[string]any{"name": "secret"})
			begun, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			var all sync.WaitGroup
			all.Go(func() {
				_, err := g.service.Send(t.Context(), id, userID("alice"), "m.x", func() {
					once.Do(func() { close(begun) })
					<-release
				})
				require.NoError(t, err)
			})
			<-begun
			all.Go(func() { g.redact("alice", id, name, "r") })
			await(t, "the redaction waits", func() bool { return g.service.Waiting(id) == 1 })
			all.Go(func() {
				g.setState("alice", id, replaced, "", map[string]any{"name": "new", "topic": "new"})
			})
			await(t, "the state waits", func() bool { return g.service.Waiting(id) == 2 })
			close(release)
			all.Wait()
			for _, e := range g.timeline("alice", id, 100) {
				raw, err := json.Marshal(e)
				require.NoError(t, err)
				require.NotContains(t, string(raw), "secret")
			}
			listed := g.ask(http.MethodGet, "bob", "v1/room_summary/"+escaped(id), nil).object()
			if replaced == "m.room.name" {
				require.Equal(t, "new", listed["name"])
			} else {
				require.NotContains(t, listed, "name")
				require.Equal(t, "new", listed["topic"])
			}
		}
		g.requireNowhere("secret")
	})
}
