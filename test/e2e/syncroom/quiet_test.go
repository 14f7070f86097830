package syncroom_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestResumingReadsNoQuietRooms comes back with a token to a node that has just begun: rooms without news cost nothing,
// whatever else is going on.
func TestResumingReadsNoQuietRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob, carol := g.client("alice"), g.client("bob"), g.client("carol")
		var busy []string // enough that some share a shard with a quiet one
		for range 40 {
			bob.join(alice.create(nil))
			busy = append(busy, carol.create(nil))
		}
		bob.sync()
		g.restart()
		for _, room := range busy {
			carol.say(room, "busy")
		}
		carol.sync() // the node has applied what was said, and has none of the quiet rooms in memory
		g.room.timelines.Store(0)
		require.False(t, bob.sync().has("rooms"))
		require.Zero(t, g.room.timelines.Load())
	})
}

func TestTypingEndsAfterARestart(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room, quiet := alice.create(nil), alice.create(nil)
	bob.join(room).join(quiet)
	alice.sync()
	bob.sync()
	alice.ok(http.MethodPut, "/rooms/"+esc(room)+"/typing/"+alice.user, map[string]any{"typing": true, "timeout": 60_000})
	typing := bob.sync().join(room).list("ephemeral", "events")
	require.Equal(t, []any{alice.user}, typing[0].get("content", "user_ids").v)
	bob.sync() // a token later it is still shown
	g.restart()
	g.room.timelines.Store(0)
	r := bob.poll(20 * time.Second).join(room)
	require.Equal(t, []string{"m.typing"}, r.types("ephemeral"))
	require.Empty(t, r.list("ephemeral", "events")[0].list("content", "user_ids"))
	require.Zero(t, g.room.timelines.Load(), "rooms that are in doubt are not read")
	require.False(t, r.has("unread_notifications"), "the client has the counts")
	require.False(t, bob.sync().has("rooms"), "it is told once")
}
