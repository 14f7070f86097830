package room_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadsSeeWhatOtherInstancesWrote writes through one instance and reads through another that has the room in memory.
func TestReadsSeeWhatOtherInstancesWrote(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	id := one.create("")
	reads := map[string]string{
		"messages": roomPath(id, "messages") + "?dir=b", "state": roomPath(id, "state"),
		"members": roomPath(id, "members"), "joined members": roomPath(id, "joined_members"),
	}
	status := func(g *world, user string, want int) {
		t.Helper()
		for what, path := range reads {
			require.Equal(t, want, g.get(user, path).status, what)
		}
	}
	both := []*world{one, two}
	for i := range 10 {
		writer, reader := both[i%2], both[(i+1)%2]
		user := fmt.Sprintf("user%d", i)
		status(reader, user, http.StatusForbidden)
		writer.act(user, id, "join")
		status(reader, user, http.StatusOK)
		reader.ok(http.MethodPut, user, roomPath(id, "send", "x", "hello"), map[string]any{})

		level := func(n int) {
			writer.setState("alice", id, "m.room.power_levels", "", map[string]any{"users": map[string]int{userID(user): n}})
		}
		name := func(g *world) int {
			return g.do(http.MethodPut, user, roomPath(id, "state", "m.room.name", ""), map[string]string{"name": user}).status
		}
		require.Equal(t, http.StatusForbidden, name(reader))
		level(50)
		require.Equal(t, http.StatusOK, name(reader), "more power at once")
		level(0)
		require.Equal(t, http.StatusForbidden, name(reader), "and less")

		writer.to("alice", id, "ban", user)
		said := reader.ok(http.MethodPut, "alice", roomPath(id, "send", "x", "after-"+user), map[string]any{}).str("event_id")
		a := reader.get(user, roomPath(id, "messages")+"?dir=b&limit=100")
		require.Equal(t, http.StatusOK, a.status, "who was a member reads what was said then")
		require.NotContains(t, string(a.body), said)
		require.Equal(t, http.StatusForbidden, reader.do(http.MethodPut, user, roomPath(id, "send", "x", "t"), map[string]any{}).status)
	}
}
