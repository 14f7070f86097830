package room_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

// memberRoom has alice (creator), mod (level 50), bob (joined), inv (invited), left, and banned. dave never was there.
func (g *world) memberRoom() string {
	g.t.Helper()
	id := g.createWith("alice", map[string]any{
		"preset":                       "private_chat",
		"power_level_content_override": map[string]any{"users": map[string]int{userID("mod"): 50}, "invite": 50},
	})
	for _, u := range []string{"mod", "bob", "left", "banned"} {
		g.to("alice", id, "invite", u)
		g.act(u, id, "join")
	}
	g.to("alice", id, "invite", "inv")
	g.act("left", id, "leave")
	g.to("alice", id, "ban", "banned")
	return id
}

func TestMembershipTable(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for _, c := range []struct {
			user, what, other string
			status            int
			// now is the membership that the other, or the user, has afterwards.
			now string
		}{
			{"bob", "join", "", 200, "join"}, {"inv", "join", "", 200, "join"}, {"left", "join", "", 403, "leave"},
			{"banned", "join", "", 403, "ban"}, {"dave", "join", "", 403, ""},
			{"bob", "leave", "", 200, "leave"}, {"inv", "leave", "", 200, "leave"}, {"left", "leave", "", 200, "leave"},
			{"banned", "leave", "", 403, "ban"}, {"dave", "leave", "", 403, ""},

			{"mod", "invite", "dave", 200, "invite"}, {"mod", "invite", "left", 200, "invite"},
			{"mod", "invite", "inv", 200, "invite"}, {"mod", "invite", "bob", 403, "join"},
			{"mod", "invite", "banned", 403, "ban"}, {"mod", "invite", "mod", 403, "join"},
			{"bob", "invite", "dave", 403, ""}, {"left", "invite", "dave", 403, ""}, {"inv", "invite", "dave", 403, ""},

			{"mod", "kick", "bob", 200, "leave"}, {"mod", "kick", "inv", 200, "leave"}, {"mod", "kick", "left", 403, "leave"},
			{"mod", "kick", "dave", 403, ""}, {"mod", "kick", "banned", 403, "ban"}, {"mod", "kick", "alice", 403, "join"},
			{"bob", "kick", "mod", 403, "join"}, {"dave", "kick", "bob", 403, "join"}, {"mod", "kick", "mod", 200, "leave"},

			{"mod", "ban", "bob", 200, "ban"}, {"mod", "ban", "dave", 200, "ban"}, {"mod", "ban", "left", 200, "ban"},
			{"mod", "ban", "inv", 200, "ban"}, {"mod", "ban", "alice", 403, "join"}, {"bob", "ban", "left", 403, "leave"},
			{"dave", "ban", "bob", 403, "join"}, {"alice", "ban", "banned", 200, "ban"},

			{"mod", "unban", "banned", 200, "leave"}, {"mod", "unban", "bob", 403, "join"},
			{"mod", "unban", "dave", 403, ""}, {"bob", "unban", "banned", 403, "ban"}, {"dave", "unban", "banned", 403, "ban"},
		} {
			id := g.memberRoom()
			body := map[string]any{"reason": "because"}
			subject := c.user
			if c.other != "" {
				body["user_id"] = userID(c.other)
				subject = c.other
			}
			a := g.do(http.MethodPost, c.user, roomPath(id, c.what), body)
			require.Equal(t, c.status, a.status, "%s %s %s: %s", c.user, c.what, c.other, a.body)
			if c.status == 403 {
				require.Equal(t, "M_FORBIDDEN", a.code(), "%s %s %s: %s", c.user, c.what, c.other, a.body)
			}
			var now any
			if m := g.content("alice", id, "m.room.member", userID(subject)); m != nil {
				now = m["membership"]
			}
			if c.now == "" {
				require.Nil(t, now, "%s %s %s", c.user, c.what, c.other)
			} else {
				require.Equal(t, c.now, now, "%s %s %s", c.user, c.what, c.other)
			}
			g.verify(id, event.V12)
		}
	})
}

func TestMembershipBodies(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.memberRoom()
		for name, c := range map[string]struct {
			user, what, body string
			status           int
			code             string
		}{
			"no user":             {"alice", "kick", `{}`, 400, "M_MISSING_PARAM"},
			"no user id":          {"alice", "ban", `{"user_id":"bob"}`, 400, "M_INVALID_PARAM"},
			"number":              {"alice", "invite", `{"user_id":1}`, 400, "M_BAD_JSON"},
			"reason":              {"alice", "unban", `{"user_id":"@banned:hs","reason":{}}`, 400, "M_BAD_JSON"},
			"not json":            {"alice", "kick", `{`, 400, "M_NOT_JSON"},
			"permission first":    {"bob", "kick", `{`, 403, "M_FORBIDDEN"},
			"permission first 2":  {"dave", "invite", `{`, 403, "M_FORBIDDEN"},
			"permission first 3":  {"bob", "invite", `{}`, 403, "M_FORBIDDEN"},
			"join not json":       {"inv", "join", `{`, 400, "M_NOT_JSON"},
			"join shape":          {"inv", "join", `{"displayname":1}`, 400, "M_BAD_JSON"},
			"join refused first":  {"dave", "join", `{`, 403, "M_FORBIDDEN"},
			"leave not json":      {"bob", "leave", `{`, 400, "M_NOT_JSON"},
			"invite third party":  {"alice", "invite", `{"medium":"email","address":"a@b","id_server":"x"}`, 403, "M_SERVER_NOT_TRUSTED"},
			"invite elsewhere":    {"alice", "invite", `{"user_id":"@a:elsewhere"}`, 403, "M_FORBIDDEN"},
			"forget joined":       {"bob", "forget", `{}`, 400, "M_UNKNOWN"},
			"forget invited":      {"inv", "forget", `{}`, 400, "M_UNKNOWN"},
			"forget never joined": {"dave", "forget", `{}`, 403, "M_FORBIDDEN"},
		} {
			a := g.doRaw(c.user, http.MethodPost, roomPath(id, c.what), c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
		}
		for _, what := range []string{"join", "leave", "invite", "kick", "ban", "unban", "forget"} {
			a := g.doRaw("alice", http.MethodPost, roomPath("!unknown:hs", what), `{"user_id":"@bob:hs"}`)
			require.Equal(t, "M_FORBIDDEN", a.code(), what)
		}
		require.Equal(t, "M_NOT_FOUND", g.doRaw("alice", http.MethodPost, "/join/%23nothing:hs", `{}`).code())
		require.Equal(t, "M_INVALID_PARAM", g.doRaw("alice", http.MethodPost, "/join/nonsense", `{}`).code())
	})
}

func TestJoin(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.people.set("bob", "Bob", "mxc://hs/bob")
		id := g.createWith("alice", map[string]any{"preset": "public_chat", "room_alias_name": "pub"})
		a := g.doRaw("bob", http.MethodPost, "/join/%23pub:hs", `{"reason":"fun","org.example":{"x":1},
			"membership":"ban","join_authorised_via_users_server":"@alice:hs","third_party_signed":{}}`)
		require.Equal(t, 200, a.status, string(a.body))
		require.Equal(t, id, a.str("room_id"))
		want := map[string]any{
			"membership": "join", "displayname": "Bob", "avatar_url": "mxc://hs/bob", "reason": "fun",
			"org.example": map[string]any{"x": 1.0},
		}
		require.Equal(t, want, g.content("bob", id, "m.room.member", userID("bob")))
		g.people.set("bob", "Robert", "")
		require.Equal(t, 200, g.doRaw("bob", http.MethodPost, roomPath(id, "join"), ``).status, "joining twice")
		require.Equal(t, want, g.content("bob", id, "m.room.member", userID("bob")))
		require.Len(t, g.verify(id, event.V12), 8)

		guest := httpx.Caller{UserID: userID("guest"), DeviceID: "D", Guest: true}
		require.Equal(t, "M_GUEST_ACCESS_FORBIDDEN", g.doAs(guest, http.MethodPost, roomPath(id, "join"), nil).code())
		g.setState("alice", id, "m.room.guest_access", "", map[string]string{"guest_access": "can_join"})
		require.Equal(t, 200, g.doAs(guest, http.MethodPost, roomPath(id, "join"), nil).status)
		suspended := httpx.Caller{UserID: userID("carol"), DeviceID: "D", Suspended: true}
		require.Equal(t, "M_USER_SUSPENDED", g.doAs(suspended, http.MethodPost, roomPath(id, "join"), nil).code())

		g.setState("alice", id, "m.room.join_rules", "", map[string]string{"join_rule": "knock"})
		require.Equal(t, 403, g.do(http.MethodPost, "dave", roomPath(id, "join"), nil).status)
		g.setState("alice", id, "m.room.join_rules", "", map[string]any{"join_rule": "restricted", "allow": "malformed"})
		require.Equal(t, 403, g.do(http.MethodPost, "dave", roomPath(id, "join"), nil).status)
		g.to("alice", id, "invite", "dave")
		g.act("dave", id, "join")
		g.verify(id, event.V12)
	})
}

func TestMemberStateEvents(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.people.set("dave", "Dave", "")
		id := g.memberRoom()
		put := func(user, key, body string) answer {
			return g.doRaw(user, http.MethodPut, roomPath(id, "state", "m.room.member", key), body)
		}
		for name, c := range map[string]struct {
			user, key, body string
			status          int
			code            string
		}{
			"no membership":        {"bob", "@bob:hs", `{}`, 400, "M_BAD_JSON"},
			"unknown membership":   {"bob", "@bob:hs", `{"membership":"king"}`, 400, "M_BAD_JSON"},
			"name shape":           {"bob", "@bob:hs", `{"membership":"join","displayname":[]}`, 400, "M_BAD_JSON"},
			"key":                  {"bob", "nobody", `{"membership":"join"}`, 400, "M_INVALID_PARAM"},
			"empty key":            {"bob", "", `{"membership":"join"}`, 400, "M_INVALID_PARAM"},
			"join for another":     {"alice", "@dave:hs", `{"membership":"join"}`, 403, "M_FORBIDDEN"},
			"outsider":             {"dave", "@bob:hs", `{"membership":"leave"}`, 403, "M_FORBIDDEN"},
			"outsider's own leave": {"dave", "@dave:hs", `{"membership":"leave"}`, 403, "M_FORBIDDEN"},
			"outsider's bad json":  {"dave", "@dave:hs", `{`, 403, "M_FORBIDDEN"},
			"leave of a stranger":  {"alice", "@dave:hs", `{"membership":"leave"}`, 403, "M_FORBIDDEN"},
			"leave of the left":    {"alice", "@left:hs", `{"membership":"leave"}`, 403, "M_FORBIDDEN"},
			"kick without power":   {"bob", "@mod:hs", `{"membership":"leave"}`, 403, "M_FORBIDDEN"},
			"invite without power": {"bob", "@dave:hs", `{"membership":"invite"}`, 403, "M_FORBIDDEN"},
			"join of the banned":   {"banned", "@banned:hs", `{"membership":"join"}`, 403, "M_FORBIDDEN"},
			"knock while joined":   {"bob", "@bob:hs", `{"membership":"knock"}`, 403, "M_FORBIDDEN"},
		} {
			a := put(c.user, c.key, c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
		}
		require.Equal(t, 200, put("bob", "@bob:hs", `{"membership":"join","displayname":"Bobby"}`).status)
		require.Equal(t, "Bobby", g.content("bob", id, "m.room.member", "@bob:hs")["displayname"])
		require.Equal(t, 200, put("mod", "@dave:hs", `{"membership":"invite"}`).status)
		require.Equal(t, "Dave", g.content("bob", id, "m.room.member", "@dave:hs")["displayname"])
		require.Equal(t, 200, put("dave", "@dave:hs", `{"membership":"join","third_party_invite":{}}`).status)
		require.NotContains(t, g.content("dave", id, "m.room.member", "@dave:hs"), "third_party_invite")
		require.Equal(t, 200, put("mod", "@dave:hs", `{"membership":"ban","reason":"x"}`).status)
		require.Equal(t, "x", g.content("bob", id, "m.room.member", "@dave:hs")["reason"])
		require.Equal(t, 200, put("mod", "@dave:hs", `{"membership":"leave"}`).status)
		g.verify(id, event.V12)
	})
}

func TestForget(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.memberRoom()
		require.Equal(t, 200, g.get("left", roomPath(id, "messages")+"?dir=b").status)
		g.act("left", id, "forget")
		require.Equal(t, 403, g.get("left", roomPath(id, "messages")+"?dir=b").status)
		g.act("left", id, "forget")
		g.act("inv", id, "leave")
		g.act("inv", id, "forget")
		g.act("banned", id, "forget")
		g.to("alice", id, "invite", "left")
		g.act("left", id, "join")
		require.Equal(t, 200, g.get("left", roomPath(id, "messages")+"?dir=b").status, "who comes back remembers")
	})
}
