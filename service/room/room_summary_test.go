package room_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoomSummary(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.createWith("alice", map[string]any{
			"preset": "public_chat", "name": "Geese", "topic": "letters", "room_alias_name": "geese", "room_version": "11",
			"initial_state": []any{state("m.room.encryption", "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})},
		})
		want := map[string]any{
			"room_id": id, "num_joined_members": 1.0, "name": "Geese", "topic": "letters", "canonical_alias": "#geese:hs",
			"join_rule": "public", "world_readable": false, "guest_can_join": false,
			"encryption": "m.megolm.v1.aes-sha2", "room_version": "11",
		}
		for _, path := range []string{
			"v1/room_summary/" + escaped(id), "v1/room_summary/%23geese:hs", "v1/room_summary/" + escaped(id) + "?via=elsewhere.org",
			"unstable/im.nheko.summary/summary/" + escaped(id), "unstable/im.nheko.summary/rooms/%23geese:hs/summary",
		} {
			for _, user := range []string{"", "bob"} {
				a := g.ask(http.MethodGet, user, path, nil)
				require.Equal(t, 200, a.status, string(a.body))
				require.Equal(t, want, a.object(), path)
			}
		}
		want["membership"] = "join"
		require.Equal(t, want, g.ask(http.MethodGet, "alice", "v1/room_summary/"+escaped(id), nil).object())
		g.refuse([]refused{
			{name: "unknown room", path: "v1/room_summary/!nobody:hs", user: "bob", status: 404, code: "M_NOT_FOUND"},
			{name: "unknown alias", path: "v1/room_summary/%23nobody:hs", user: "bob", status: 404, code: "M_NOT_FOUND"},
			{name: "alias of another server", path: "v1/room_summary/%23a:elsewhere.org", user: "bob", status: 404, code: "M_NOT_FOUND"},
			{name: "neither", path: "v1/room_summary/geese", user: "bob", status: 400, code: "M_INVALID_PARAM"},
			{name: "malformed alias", path: "v1/room_summary/%23geese", user: "bob", status: 400, code: "M_INVALID_PARAM"},
			{name: "malformed id", path: "v1/room_summary/!a%00", user: "bob", status: 400, code: "M_INVALID_PARAM"},
			{name: "nobody knows", path: "unstable/im.nheko.summary/summary/!nobody:hs", status: 404, code: "M_NOT_FOUND"},
		})
	})
}

// TestWhoMayKnowARoom compares what each kind of room tells each kind of user, in a summary and as a child of a space, with the
// specification's list.
func TestWhoMayKnowARoom(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		club := g.createWith("alice", map[string]any{"preset": "public_chat"})
		g.act("member", club, "join")
		allow := []any{map[string]any{"type": "m.room_membership", "room_id": club}, map[string]any{"type": "other", "room_id": 3}, "junk"}
		rule := func(rule string) map[string]any { return map[string]any{"join_rule": rule, "allow": allow} }
		for _, c := range []struct {
			name, version, visibility string
			rules                     map[string]any
			knows                     []string
		}{
			{"public", "12", "shared", rule("public"), []string{"", "stranger", "member", "invited", "left"}},
			{"invite", "12", "shared", rule("invite"), []string{"invited"}},
			{"private", "12", "shared", rule("private"), []string{"invited"}},
			{"an unknown rule", "12", "shared", rule("org.example"), []string{"invited"}},
			{"knock", "12", "shared", rule("knock"), []string{"", "stranger", "member", "invited", "left"}},
			{"knock too early", "6", "shared", rule("knock"), []string{"invited"}},
			{"restricted", "12", "shared", rule("restricted"), []string{"member", "invited"}},
			{"restricted too early", "7", "shared", rule("restricted"), []string{"invited"}},
			{"restricted to nobody", "12", "shared", map[string]any{"join_rule": "restricted", "allow": "junk"}, []string{"invited"}},
			{"knock_restricted", "12", "shared", rule("knock_restricted"), []string{"", "stranger", "member", "invited", "left"}},
			{"knock_restricted too early", "9", "shared", rule("knock_restricted"), []string{"invited"}},
			{"world-readable", "12", "world_readable", rule("invite"), []string{"", "stranger", "member", "invited", "left", "banned"}},
		} {
			id := g.createWith("alice", map[string]any{"preset": "public_chat", "room_version": c.version})
			g.setState("alice", id, "m.room.history_visibility", "", map[string]any{"history_visibility": c.visibility})
			g.act("left", id, "join")
			g.act("left", id, "leave")
			g.to("alice", id, "ban", "banned")
			g.setState("alice", id, "m.room.join_rules", "", c.rules)
			g.to("alice", id, "invite", "invited")
			space := g.createWith("alice", map[string]any{"preset": "public_chat", "creation_content": map[string]any{"type": "m.space"}})
			g.setState("alice", space, "m.space.child", id, map[string]any{"via": []string{"hs"}})
			open := len(c.knows) > 0 && c.knows[0] == ""
			for _, user := range []string{"", "stranger", "member", "invited", "left", "banned", "alice"} {
				known := user == "alice"
				for _, k := range c.knows {
					known = known || k == user
				}
				status := http.StatusNotFound
				if known || user == "banned" && open {
					status = http.StatusOK
				}
				a := g.ask(http.MethodGet, user, "v1/room_summary/"+escaped(id), nil)
				require.Equal(t, status, a.status, "%s, %q: %s", c.name, user, a.body)
				if user == "" {
					require.NotContains(t, a.object(), "membership")
					continue
				}
				want := []string{space}
				if known {
					want = append(want, id)
				}
				tree := g.hierarchy(user, space, "")
				require.Equal(t, want, tree.field("rooms", "room_id"), "%s, %s", c.name, user)
				status = http.StatusForbidden
				if known {
					status = http.StatusOK
				}
				require.Equal(t, status, g.ask(http.MethodGet, user, "v1/rooms/"+escaped(id)+"/hierarchy", nil).status)
			}
		}
		id := g.createWith("alice", map[string]any{"preset": "private_chat"})
		g.setState("alice", id, "m.room.join_rules", "", rule("restricted"))
		a := g.ask(http.MethodGet, "member", "v1/room_summary/"+escaped(id), nil)
		require.Equal(t, []any{club}, a.object()["allowed_room_ids"])
		g.act("member", club, "leave")
		require.Equal(t, 404, g.ask(http.MethodGet, "member", "v1/room_summary/"+escaped(id), nil).status)
	})
}
