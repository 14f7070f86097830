package room_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// knockRoom has alice (creator), bob (joined), inv (invited), left and banned, and takes knocks.
func (g *world) knockRoom(version, rule string) string {
	g.t.Helper()
	id := g.createWith("alice", map[string]any{
		"preset": "private_chat", "room_version": version,
		"initial_state": []any{map[string]any{"type": "m.room.join_rules", "content": map[string]any{"join_rule": rule}}},
	})
	for _, u := range []string{"bob", "left", "banned"} {
		g.to("alice", id, "invite", u)
		g.act(u, id, "join")
	}
	g.to("alice", id, "invite", "inv")
	g.act("left", id, "leave")
	g.to("alice", id, "ban", "banned")
	return id
}

func (g *rig) knock(user, room, body string) answer {
	g.t.Helper()
	return g.doRaw(user, http.MethodPost, "/knock/"+url.PathEscape(room), body)
}

func (g *rig) membership(user, roomID, of string) any {
	g.t.Helper()
	return g.content(user, roomID, "m.room.member", userID(of))["membership"]
}

func TestKnock(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.people.set("dave", "Dave", "mxc://hs/dave")
		id := g.knockRoom("12", "knock")
		g.ok(http.MethodPut, "alice", aliasPath("#door:hs"), map[string]string{"room_id": id})

		a := g.doRaw("dave", http.MethodPost, "/knock/%23door:hs?via=elsewhere&via=x", `{"reason":"let me in","membership":"join","x":1}`)
		require.Equal(t, 200, a.status, string(a.body))
		require.Equal(t, map[string]any{"room_id": id}, a.object())
		require.Equal(t, map[string]any{
			"membership": "knock", "displayname": "Dave", "avatar_url": "mxc://hs/dave", "reason": "let me in",
		}, g.content("alice", id, "m.room.member", userID("dave")))
		before := len(g.verify(id, event.V12))
		require.Equal(t, 200, g.knock("dave", id, `{"reason":"let me in"}`).status)
		require.Len(t, g.verify(id, event.V12), before, "the same knock again is none")
		require.Equal(t, 200, g.knock("dave", id, `{"reason":"please"}`).status)
		require.Equal(t, "please", g.content("alice", id, "m.room.member", userID("dave"))["reason"])

		require.Equal(t, 403, g.do(http.MethodPost, "dave", roomPath(id, "join"), nil).status, "a knock is no invite")
		require.Equal(t, 403, g.get("dave", roomPath(id, "state")).status, "who knocks sees nothing")
		require.Equal(t, 403, g.get("dave", roomPath(id, "members")).status)
		require.Equal(t, 403, g.do(http.MethodPut, "dave", roomPath(id, "send", "m.room.message", "1"), map[string]any{}).status)

		g.act("dave", id, "leave")
		require.Equal(t, "leave", g.membership("alice", id, "dave"), "withdrawn")
		require.Equal(t, 200, g.knock("dave", id, ``).status, "without a body")
		g.to("alice", id, "kick", "dave")
		require.Equal(t, "leave", g.membership("alice", id, "dave"), "denied")
		require.Equal(t, 200, g.knock("dave", id, `{}`).status)
		g.to("bob", id, "invite", "dave")
		g.act("dave", id, "join")
		require.Equal(t, "join", g.membership("alice", id, "dave"), "accepted")
		require.Equal(t, 200, g.knock("left", id, `{}`).status)
		g.to("alice", id, "ban", "left")
		require.Equal(t, 403, g.knock("left", id, `{}`).status)
		g.verify(id, event.V12)
	})
}

func TestKnockIsRefused(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id, invite := g.knockRoom("12", "knock"), g.knockRoom("12", "invite")
		old := g.createWith("alice", map[string]any{"room_version": "6", "preset": "private_chat"})
		early := g.createWith("alice", map[string]any{
			"room_version":  "9",
			"initial_state": []any{map[string]any{"type": "m.room.join_rules", "content": map[string]any{"join_rule": "knock_restricted"}}},
		})
		for name, c := range map[string]struct {
			user, room, body string
			status           int
			code             string
		}{
			"joined":            {"bob", id, `{}`, 403, "M_FORBIDDEN"},
			"invited":           {"inv", id, `{}`, 403, "M_FORBIDDEN"},
			"banned":            {"banned", id, `{}`, 403, "M_FORBIDDEN"},
			"no knocking":       {"dave", invite, `{}`, 403, "M_FORBIDDEN"},
			"old version":       {"dave", old, `{}`, 403, "M_FORBIDDEN"},
			"unknown rule":      {"dave", early, `{}`, 403, "M_FORBIDDEN"},
			"unknown room":      {"dave", "!unknown:hs", `{}`, 404, "M_NOT_FOUND"},
			"unknown alias":     {"dave", "#nothing:hs", `{}`, 404, "M_NOT_FOUND"},
			"nonsense":          {"dave", "nonsense", `{}`, 400, "M_INVALID_PARAM"},
			"not json":          {"dave", id, `{`, 400, "M_NOT_JSON"},
			"reason":            {"dave", id, `{"reason":1}`, 400, "M_BAD_JSON"},
			"permission first":  {"banned", id, `{`, 403, "M_FORBIDDEN"},
			"a reason too long": {"dave", id, `{"reason":"` + string(make69K()) + `"}`, 413, "M_TOO_LARGE"},
		} {
			a := g.knock(c.user, c.room, c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
		}
		require.Nil(t, g.content("alice", id, "m.room.member", userID("dave")), "nothing is left of what was refused")
		path := "/knock/" + url.PathEscape(id)
		guest := httpx.Caller{UserID: userID("guest"), DeviceID: "D", Guest: true}
		require.Equal(t, "M_GUEST_ACCESS_FORBIDDEN", g.doAs(guest, http.MethodPost, path, nil).code())
		suspended := httpx.Caller{UserID: userID("dave"), DeviceID: "D", Suspended: true}
		require.Equal(t, "M_USER_SUSPENDED", g.doAs(suspended, http.MethodPost, path, nil).code())
	})
}

func make69K() []byte {
	b := make([]byte, 69_000)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

func TestKnockByStateEvent(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.people.set("dave", "Dave", "")
		id := g.knockRoom("7", "knock")
		put := func(user, of, body string) answer {
			return g.doRaw(user, http.MethodPut, roomPath(id, "state", "m.room.member", userID(of)), body)
		}
		require.Equal(t, 403, put("bob", "dave", `{"membership":"knock"}`).status, "for somebody else")
		require.Equal(t, 403, put("banned", "banned", `{"membership":"knock"}`).status)
		a := put("dave", "dave", `{"membership":"knock","reason":"hello"}`)
		require.Equal(t, 200, a.status, string(a.body))
		require.Equal(t, map[string]any{"membership": "knock", "displayname": "Dave", "avatar_url": "", "reason": "hello"},
			g.content("alice", id, "m.room.member", userID("dave")))
		g.verify(id, event.V7)
	})
}
