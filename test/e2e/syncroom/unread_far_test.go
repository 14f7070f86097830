package syncroom_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Counts reach as far back as the user has not read, and who comes back to a node that knows nothing does not have all of
// it counted anew.
func TestUnreadAtAnyDistance(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		const far = 2500
		ids := make([]string, far)
		for i := range ids {
			content := map[string]any{"msgtype": "m.text", "body": fmt.Sprint("event ", i)}
			if i%100 == 7 {
				content["m.mentions"] = map[string]any{"user_ids": []any{bob.user}}
			}
			ids[i] = alice.send(room, "m.room.message", content)
		}
		unread := func() [2]int { return bob.at("", 0).join(room).unread() }
		require.Equal(t, [2]int{far, far / 100}, unread())
		require.Equal(t, [2]int{0, 0}, alice.at("", 0).join(room).unread())
		require.GreaterOrEqual(t, g.room.notes.Load(), int64(far))

		g.restart()
		g.room.notes.Store(0)
		require.Equal(t, [2]int{far, far / 100}, unread())
		require.LessOrEqual(t, g.room.notes.Load(), int64(600), "what was counted is counted")

		g.restart()
		mute := "/pushrules/global/room/" + esc(room)
		bob.ok(http.MethodPut, mute, map[string]any{"actions": []any{}})
		require.Equal(t, [2]int{far / 100, far / 100}, unread(), "what was counted by other rules is counted anew")
		bob.ok(http.MethodDelete, mute, nil)
		require.Equal(t, [2]int{far, far / 100}, unread())

		alice.room(http.MethodPut, "/rooms/"+esc(room)+"/redact/"+esc(ids[7])+"/r1", nil)
		require.Equal(t, [2]int{far - 1, far/100 - 1}, unread(), "a redacted event is none to read")
		bob.receipt(room, "m.read", ids[999], map[string]any{"thread_id": "main"})
		require.Equal(t, [2]int{far - 1000, far/100 - 10}, unread())
		g.restart()
		require.Equal(t, [2]int{far - 1000, far/100 - 10}, unread())
		bob.receipt(room, "m.read.private", ids[far-2], nil)
		require.Equal(t, [2]int{1, 0}, unread())
		g.restart()
		require.Equal(t, [2]int{1, 0}, unread())
	})
}
