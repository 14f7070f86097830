package syncroom_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInitialSyncShowsTheWholeRoom(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		room := alice.create(map[string]any{"name": "Geese", "preset": "public_chat"})
		alice.say(room, "hello")
		r := alice.sync()
		require.NotEmpty(t, r.str("next_batch"))
		require.Equal(t, []string{"hello"}, r.join(room).bodies())
		require.Contains(t, r.join(room).keys("timeline"), "m.room.name")
		require.False(t, r.join(room).get("timeline", "limited").v.(bool))
		require.Equal(t, 1, r.join(room).num("summary", "m.joined_member_count"))
		require.True(t, r.join(room).has("unread_notifications", "notification_count"))
		require.Equal(t, 0, r.num("device_one_time_keys_count", "signed_curve25519"))
		require.NotNil(t, r.get("device_unused_fallback_key_types").v)
		require.Contains(t, r.types("account_data"), "m.push_rules")
	})
}

func TestIncrementalSyncShowsNewEventsOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		alice.sync()
		bob.sync()
		for _, text := range []string{"one", "two", "three"} {
			alice.say(room, text)
			before := bob.since
			r := bob.sync()
			require.Equal(t, []string{text}, r.join(room).bodies())
			again := bob.at(before, 0)
			require.Equal(t, r.join(room).bodies(), again.join(room).bodies(), "the same token gives the same answer")
			require.Equal(t, r.join(room).str("timeline", "prev_batch"), again.join(room).str("timeline", "prev_batch"))
		}
		r := bob.sync()
		require.False(t, r.has("rooms"), r.v)
	})
}

func TestPollWakesForAMessage(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	bob.sync()
	done := make(chan result, 1)
	go func() { done <- bob.poll(20 * time.Second) }()
	alice.say(room, "wake up")
	require.Equal(t, []string{"wake up"}, (<-done).join(room).bodies())
}
