package room_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPeeking reads a room as somebody who never was in it, on each path that reads rooms: only what was said while everybody
// might read it.
func TestPeeking(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		visible := func(id, visibility string) {
			g.setState("alice", id, "m.room.history_visibility", "", map[string]any{"history_visibility": visibility})
		}
		id := g.create("shared")
		before := g.say("alice", id, "before")
		visible(id, "world_readable")
		during := g.say("alice", id, "during")
		g.setState("alice", id, "m.room.name", "", map[string]any{"name": "open"})
		status := func(want int, parts ...string) answer {
			t.Helper()
			a := g.get("peeker", roomPath(id, parts...))
			require.Equal(t, want, a.status, "%v: %s", parts, a.body)
			return a
		}
		status(404, "event", before)
		status(404, "context", before)
		status(200, "event", during)
		require.NotContains(t, string(status(200, "context", during).body), before)
		require.Equal(t, "open", status(200, "state", "m.room.name", "").str("name"))
		require.NotEmpty(t, status(200, "state").list(""))
		require.Len(t, status(200, "members").list("chunk"), 1)
		status(200, "aliases")
		status(403, "joined_members")
		require.NotContains(t, eventIDs(g.timeline("peeker", id, 2)), before)
		require.Contains(t, eventIDs(g.timeline("peeker", id, 2)), during)

		a := status(200, "initialSync")
		require.NotContains(t, string(a.body), before)
		require.Contains(t, string(a.body), during)

		visible(id, "joined")
		after := g.say("alice", id, "after")
		for _, what := range []string{"messages", "state", "members", "joined_members", "aliases", "initialSync"} {
			require.Equal(t, 403, g.get("peeker", roomPath(id, what)+"?dir=b").status, what)
		}
		require.Equal(t, 403, g.get("peeker", roomPath(id, "state", "m.room.name", "")).status)
		status(200, "event", during)
		require.NotContains(t, string(status(200, "context", during).body), after)
		status(404, "event", after)
		status(404, "context", after)
	})
}

func TestInitialSync(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.createWith("alice", map[string]any{"preset": "public_chat", "visibility": "public", "name": "geese"})
		var said []string
		for range 15 {
			said = append(said, g.say("alice", id, "x"))
		}
		a := g.get("alice", roomPath(id, "initialSync"))
		require.Equal(t, 200, a.status, string(a.body))
		o := a.object()
		require.Equal(t, id, o["room_id"])
		require.Equal(t, "join", o["membership"])
		require.Equal(t, "public", o["visibility"])
		messages := o["messages"].(map[string]any)
		var chunk []string
		for _, e := range messages["chunk"].([]any) {
			chunk = append(chunk, e.(map[string]any)["event_id"].(string))
		}
		require.Equal(t, said[5:], chunk, "oldest first")
		require.Len(t, a.list("state"), len(g.get("alice", roomPath(id, "state")).list("")))
		back := g.get("alice", roomPath(id, "messages")+"?dir=b&limit=5&from="+messages["start"].(string)).ids("chunk")
		require.Equal(t, []string{said[4], said[3], said[2], said[1], said[0]}, back)
		next := g.say("alice", id, "next")
		require.Equal(t, []string{next}, g.get("alice", roomPath(id, "messages")+"?dir=f&from="+messages["end"].(string)).ids("chunk"))

		g.act("bob", id, "join")
		g.act("bob", id, "leave")
		g.say("alice", id, "after")
		left := g.get("bob", roomPath(id, "initialSync")+"?limit=1000")
		require.Equal(t, "leave", left.object()["membership"])
		require.NotContains(t, left.object()["messages"], "start", "that is all of it")
		all := g.timeline("bob", id, 1000)
		require.Len(t, left.object()["messages"].(map[string]any)["chunk"], len(all))
		g.refuse([]refused{
			{name: "stranger", method: http.MethodGet, user: "carol", path: "v3" + roomPath(id, "initialSync"), status: 403, code: "M_FORBIDDEN"},
			{name: "unknown", user: "carol", path: "v3/rooms/!x:hs/initialSync", status: 403, code: "M_FORBIDDEN"},
			{name: "limit", user: "alice", path: "v3" + roomPath(id, "initialSync") + "?limit=-1", status: 400, code: "M_INVALID_PARAM"},
		})
	})
}
