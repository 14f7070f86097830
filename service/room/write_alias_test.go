package room_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

func aliasPath(alias string) string { return "/directory/room/" + url.PathEscape(alias) }

func TestAliases(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		other := g.create("")
		g.act("bob", id, "join")
		g.act("carol", id, "join")
		put := func(user, alias, body string) answer { return g.doRaw(user, http.MethodPut, aliasPath(alias), body) }
		del := func(user, alias string) answer { return g.do(http.MethodDelete, user, aliasPath(alias), nil) }
		here := `{"room_id":"` + id + `"}`

		for name, c := range map[string]struct {
			user, alias, body string
			status            int
			code              string
		}{
			"outsider":     {"dave", "#a:hs", here, 403, "M_FORBIDDEN"},
			"unknown room": {"bob", "#a:hs", `{"room_id":"!unknown:hs"}`, 403, "M_FORBIDDEN"},
			"malformed":    {"bob", "a:hs", here, 400, "M_INVALID_PARAM"},
			"white space":  {"bob", "#a b:hs", here, 400, "M_INVALID_PARAM"},
			"elsewhere":    {"bob", "#a:elsewhere", here, 400, "M_INVALID_PARAM"},
			"no room":      {"bob", "#a:hs", `{}`, 400, "M_MISSING_PARAM"},
			"bad room":     {"bob", "#a:hs", `{"room_id":"x"}`, 400, "M_INVALID_PARAM"},
			"not json":     {"bob", "#a:hs", `{`, 400, "M_NOT_JSON"},
		} {
			a := put(c.user, c.alias, c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
		}
		require.Equal(t, 200, put("bob", "#a:hs", here).status)
		taken := put("alice", "#a:hs", `{"room_id":"`+other+`"}`)
		require.Equal(t, 409, taken.status)
		require.Equal(t, "M_UNKNOWN", taken.code())
		require.Equal(t, map[string]any{"room_id": id, "servers": []any{"hs"}}, g.get("", aliasPath("#a:hs")).object())
		require.Equal(t, "M_NOT_FOUND", g.get("", aliasPath("#b:hs")).code())
		require.Equal(t, "M_INVALID_PARAM", g.get("", aliasPath("b")).code())
		require.Equal(t, 200, put("carol", "#b:hs", here).status)
		require.Equal(t, []any{"#a:hs", "#b:hs"}, g.get("bob", roomPath(id, "aliases")).object()["aliases"])
		require.Equal(t, "M_FORBIDDEN", g.get("dave", roomPath(id, "aliases")).code())
		g.setState("alice", id, "m.room.history_visibility", "", map[string]string{"history_visibility": "world_readable"})
		require.Equal(t, 200, g.get("dave", roomPath(id, "aliases")).status)

		require.Equal(t, "M_FORBIDDEN", del("carol", "#a:hs").code(), "neither made it nor may choose the canonical alias")
		require.Equal(t, "M_NOT_FOUND", del("carol", "#c:hs").code())
		g.setState("alice", id, "m.room.canonical_alias", "", map[string]any{"alias": "#a:hs", "alt_aliases": []string{"#b:hs"}})
		require.Equal(t, 200, del("carol", "#b:hs").status)
		require.Equal(t, map[string]any{"alias": "#a:hs", "alt_aliases": []any{"#b:hs"}},
			g.content("bob", id, "m.room.canonical_alias", ""), "carol has no power over the event")
		require.Equal(t, 200, del("alice", "#a:hs").status)
		require.Equal(t, map[string]any{"alt_aliases": []any{"#b:hs"}}, g.content("bob", id, "m.room.canonical_alias", ""))
		g.verify(id, event.V12)
	})
}

func TestCanonicalAlias(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.createWith("alice", map[string]any{"room_alias_name": "here"})
		g.createWith("alice", map[string]any{"room_alias_name": "there"})
		require.Equal(t, map[string]any{"alias": "#here:hs"}, g.content("alice", id, "m.room.canonical_alias", ""))
		put := func(body string) answer {
			return g.doRaw("alice", http.MethodPut, roomPath(id, "state", "m.room.canonical_alias", ""), body)
		}
		for body, code := range map[string]string{
			`{"alias":"#nowhere:hs"}`:                                 "M_BAD_ALIAS",
			`{"alias":"#there:hs"}`:                                   "M_BAD_ALIAS",
			`{"alias":"#here:hs","alt_aliases":["#there:hs"]}`:        "M_BAD_ALIAS",
			`{"alias":"here"}`:                                        "M_INVALID_PARAM",
			`{"alias":1}`:                                             "M_INVALID_PARAM",
			`{"alt_aliases":"#here:hs"}`:                              "M_INVALID_PARAM",
			`{"alt_aliases":["#here"]}`:                               "M_INVALID_PARAM",
			`{"alt_aliases":[""]}`:                                    "M_INVALID_PARAM",
			`{"alias":"","alt_aliases":[""]}`:                         "M_INVALID_PARAM",
			`{"alias":"","alt_aliases":["#here:hs"],"org.example":1}`: "",
			`{"alias":null}`:                                          "",
			`{}`:                                                      "",
		} {
			a := put(body)
			require.Equal(t, code, a.code(), "%s: %s", body, a.body)
		}
		require.Equal(t, "", put(`{"alias":"#here:hs"}`).code())
		require.Equal(t, 200, g.do(http.MethodDelete, "alice", aliasPath("#here:hs"), nil).status)
		require.Empty(t, g.content("alice", id, "m.room.canonical_alias", ""))
	})
}

func TestDirectoryVisibility(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.createWith("alice", map[string]any{"visibility": "public"})
		require.Equal(t, "public", g.content("alice", id, "m.room.join_rules", "")["join_rule"])
		g.act("bob", id, "join")
		path := "/directory/list/room/" + url.PathEscape(id)
		put := func(user, body string) answer { return g.doRaw(user, http.MethodPut, path, body) }
		require.Equal(t, "public", g.get("", path).str("visibility"))
		require.Equal(t, 200, put("alice", `{"visibility":"private"}`).status)
		require.Equal(t, "private", g.get("", path).str("visibility"))
		require.Equal(t, "M_FORBIDDEN", put("bob", `{`).code())
		require.Equal(t, "M_FORBIDDEN", put("dave", `{}`).code())
		require.Equal(t, "M_INVALID_PARAM", put("alice", `{"visibility":"hidden"}`).code())
		require.Equal(t, "M_BAD_JSON", put("alice", `{"visibility":1}`).code())
		require.Equal(t, 200, put("alice", ``).status)
		require.Equal(t, "public", g.get("", path).str("visibility"))
		unknown := "/directory/list/room/!unknown:hs"
		require.Equal(t, "M_NOT_FOUND", g.get("", unknown).code())
		require.Equal(t, "M_NOT_FOUND", g.doRaw("alice", http.MethodPut, unknown, `{}`).code())
		admin := httpx.Caller{UserID: userID("admin"), DeviceID: "D", Admin: true}
		require.Equal(t, 200, g.doAs(admin, http.MethodPut, path, map[string]string{"visibility": "private"}).status)
	})
}
