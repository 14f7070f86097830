package room_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func (g *rig) members(user, roomID, query string) (users []string) {
	g.t.Helper()
	for _, e := range g.ok("GET", user, roomPath(roomID, "members")+query, nil).list("chunk") {
		users = append(users, e["state_key"].(string))
	}
	return users
}

func TestMembers(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		for _, u := range []string{"bob", "carol"} {
			g.act(u, roomID, "join")
		}
		at := g.page("alice", roomID, "dir=b&limit=1").str("start")
		g.to("alice", roomID, "invite", "dave")
		g.to("alice", roomID, "ban", "erin")
		g.act("carol", roomID, "leave")

		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs", "@carol:hs", "@dave:hs", "@erin:hs"}, g.members("alice", roomID, ""))
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs"}, g.members("alice", roomID, "?membership=join"))
		require.ElementsMatch(t, []string{"@dave:hs"}, g.members("alice", roomID, "?membership=invite"))
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs", "@dave:hs", "@erin:hs"}, g.members("alice", roomID, "?not_membership=leave"))
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs", "@carol:hs", "@dave:hs"},
			g.members("alice", roomID, "?membership=join&not_membership=ban"), "the one or not the other")
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs", "@carol:hs"}, g.members("alice", roomID, "?at="+at))
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs", "@carol:hs"},
			g.members("alice", roomID, "?membership=join&at="+at))

		// Who has left sees the members as of the leave, whatever they ask for.
		later := g.page("alice", roomID, "dir=b&limit=1").str("start")
		g.act("bob", roomID, "leave")
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs"}, g.members("carol", roomID, "?membership=join"))
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs"}, g.members("carol", roomID, "?membership=join&at="+later))

		joined := g.get("alice", roomPath(roomID, "joined_members")).object()["joined"].(map[string]any)
		require.Len(t, joined, 1)
		require.Contains(t, joined, "@alice:hs")
		for _, u := range []string{"carol", "dave", "erin", "mallory"} {
			require.Equal(t, 403, g.get(u, roomPath(roomID, "joined_members")).status, u)
		}
	})
}

func TestJoinedMembersTellProfiles(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		g.setState("alice", roomID, "m.room.member", "@alice:hs", map[string]any{
			"membership": "join", "displayname": "Alice",
		})
		joined := g.get("alice", roomPath(roomID, "joined_members")).object()["joined"].(map[string]any)
		require.Equal(t, map[string]any{"display_name": "Alice"}, joined["@alice:hs"])
	})
}

func TestJoinedRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		rooms := func(user string) []any { return g.get(user, "/joined_rooms").object()["joined_rooms"].([]any) }
		require.Empty(t, rooms("bob"))
		one, two := g.create(""), g.create("")
		g.act("bob", one, "join")
		g.act("bob", two, "join")
		g.to("alice", g.create(""), "invite", "bob")
		require.ElementsMatch(t, []any{one, two}, rooms("bob"))
		g.act("bob", one, "leave")
		require.Equal(t, []any{two}, rooms("bob"))
	})
}

func TestState(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		roomID := g.create("")
		g.setState("alice", roomID, "org.example.odd", "a/b", map[string]string{"k": "slash"})
		g.setState("alice", roomID, "org.example.odd", "", map[string]string{"k": "empty"})
		g.setState("alice", roomID, "org.example.odd", "%41 ü", map[string]string{"k": "odd"})
		room := roomPath(roomID)
		for path, want := range map[string]string{
			"/state/org.example.odd":                "empty",
			"/state/org.example.odd/":               "empty",
			"/state/org.example.odd/a%2Fb":          "slash",
			"/state/org.example.odd/%2541%20%C3%BC": "odd",
		} {
			require.Equal(t, want, g.get("alice", room+path).str("k"), path)
		}
		e := g.get("alice", room+"/state/org.example.odd/?format=event").object()
		require.Equal(t, "org.example.odd", e["type"])
		require.Equal(t, "", e["state_key"])
		require.Equal(t, roomID, e["room_id"])
		require.Equal(t, map[string]any{"k": "empty"}, e["content"])

		// As of the leave, with it.
		g.act("bob", roomID, "join")
		g.act("bob", roomID, "leave")
		g.setState("alice", roomID, "org.example.odd", "", map[string]string{"k": "later"})
		require.Equal(t, "empty", g.get("bob", room+"/state/org.example.odd").str("k"))
		require.Equal(t, "leave", g.get("bob", room+"/state/m.room.member/@bob:hs").str("membership"))
		require.Equal(t, "later", g.get("alice", room+"/state/org.example.odd").str("k"))
	})
}
