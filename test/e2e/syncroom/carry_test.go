package syncroom_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// settles gives a user settings of a room: a tag, two push rules and a place in m.direct.
func (c *client) settles(room, other string) {
	c.g.t.Helper()
	c.ok(http.MethodPut, "/user/"+c.user+"/rooms/"+esc(room)+"/tags/u.work", map[string]any{"order": 0.5})
	c.ok(http.MethodPut, "/pushrules/global/room/"+esc(room), map[string]any{"actions": []any{"notify"}})
	c.ok(http.MethodPut, "/pushrules/global/override/"+esc(room), map[string]any{
		"actions": []any{}, "conditions": []any{map[string]any{"kind": "event_match", "key": "room_id", "pattern": room}},
	})
	c.ok(http.MethodPut, "/user/"+c.user+"/account_data/m.direct", map[string]any{other: []string{room}})
}

func (c *client) tagsOf(room string) map[string]any {
	c.g.t.Helper()
	return c.ok(http.MethodGet, "/user/"+c.user+"/rooms/"+esc(room)+"/tags", nil)["tags"].(map[string]any)
}

// has waits until a user's settings are those of settles in a room.
func (c *client) has(room, other string) {
	c.g.t.Helper()
	status := func(path string) int { return c.do(c.handler(), http.MethodGet, path, nil).status }
	require.Eventually(c.g.t, func() bool {
		direct, _ := c.ok(http.MethodGet, "/user/"+c.user+"/account_data/m.direct", nil)[other].([]any)
		return len(c.tagsOf(room)) == 1 && status("/pushrules/global/room/"+esc(room)) == 200 &&
			status("/pushrules/global/override/"+esc(room)) == 200 && len(direct) == 2 && direct[1] == room
	}, 20*time.Second, 5*time.Millisecond)
}

// TestSettingsFollowAnUpgrade gives each user in the new room what they had in the old one: the upgrader at once, others when
// they join, be it while no sync is running; once only, and nothing over what they have chosen there.
func TestSettingsFollowAnUpgrade(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob, carol, dora := g.client("alice"), g.client("bob"), g.client("carol"), g.client("dora")
		old := alice.create(nil)
		for _, c := range []*client{alice, bob, carol, dora} {
			c.join(old).settles(old, "@friend:hs")
		}
		alice.sync()
		fresh := alice.room(http.MethodPost, "/rooms/"+esc(old)+"/upgrade", map[string]any{"new_version": "12"})["replacement_room"].(string)
		alice.has(fresh, "@friend:hs")
		require.Equal(t, map[string]any{"order": 0.5}, alice.tagsOf(fresh)["u.work"])
		require.Len(t, alice.tagsOf(old), 1, "the old room keeps its own")

		bob.join(fresh).has(fresh, "@friend:hs")
		bob.ok(http.MethodDelete, "/user/"+bob.user+"/rooms/"+esc(fresh)+"/tags/u.work", nil)
		bob.leave(fresh)
		bob.join(fresh)
		carol.ok(http.MethodPut, "/user/"+carol.user+"/rooms/"+esc(fresh)+"/tags/u.own", map[string]any{})
		carol.join(fresh)

		g.sync.stop()
		dora.join(fresh)
		g.sync = g.startSync()
		dora.has(fresh, "@friend:hs") // and so everything before it in this room
		require.Empty(t, bob.tagsOf(fresh), "what was removed stays removed")
		require.Equal(t, []string{"u.own"}, keysOf(carol.tagsOf(fresh)))
	})
}

func keysOf(m map[string]any) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// TestSettingsFollowAManualUpgrade is done by hand: a room that names its predecessor, and a tombstone. The first alone is enough for
// nobody but who made the room, or somebody could make one that comes to look like one that others know.
func TestSettingsFollowAManualUpgrade(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob, mallory := g.client("alice"), g.client("bob"), g.client("mallory")
		old := alice.create(nil)
		alice.settles(old, "@friend:hs")
		bob.join(old).settles(old, "@friend:hs")
		after := func(c *client) string {
			return c.create(map[string]any{
				"preset": "public_chat", "creation_content": map[string]any{"predecessor": map[string]any{"room_id": old, "event_id": "$x"}},
			})
		}
		trap := after(mallory)
		bob.join(trap)
		mallory.join(old).settles(old, "@friend:hs")
		mallory.leave(trap)
		mallory.join(trap).has(trap, "@friend:hs") // so bob's join was looked at
		require.Empty(t, bob.tagsOf(trap))

		fresh := after(alice)
		alice.has(fresh, "@friend:hs")
		bob.join(fresh)
		alice.state(old, "m.room.tombstone", "", map[string]any{"body": "moved", "replacement_room": fresh})
		bob.has(fresh, "@friend:hs")
	})
}
