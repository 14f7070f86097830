package room_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

func (g *rig) upgrade(user, roomID string, body any) answer {
	g.t.Helper()
	return g.do(http.MethodPost, user, roomPath(roomID, "upgrade"), body)
}

// upgraded upgrades a room and returns the new one.
func (g *rig) upgraded(user, roomID string, body any) string {
	g.t.Helper()
	a := g.upgrade(user, roomID, body)
	require.Equal(g.t, 200, a.status, string(a.body))
	require.Len(g.t, a.object(), 1)
	return a.str("replacement_room")
}

func (g *rig) directory(roomID string) string {
	g.t.Helper()
	return g.ok(http.MethodGet, "alice", "/directory/list/room/"+url.PathEscape(roomID), nil).str("visibility")
}

func (g *rig) aliasOf(alias string) string {
	g.t.Helper()
	return g.ok(http.MethodGet, "alice", aliasPath(alias), nil).str("room_id")
}

func TestUpgrade(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		old := g.createWith("alice", map[string]any{
			"room_version": "10", "visibility": "public", "room_alias_name": "geese", "name": "Geese", "topic": "letters",
			"creation_content": map[string]any{"type": "org.example.kind", "m.federate": false, "org.example.other": 1},
			"initial_state": []any{
				map[string]any{"type": "m.room.join_rules", "content": map[string]any{"join_rule": "knock"}},
				map[string]any{"type": "m.room.history_visibility", "content": map[string]any{"history_visibility": "joined"}},
				map[string]any{"type": "m.room.guest_access", "content": map[string]any{"guest_access": "forbidden"}},
				map[string]any{"type": "m.room.avatar", "content": map[string]any{"url": "mxc://hs/a"}},
				map[string]any{"type": "m.room.encryption", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}},
				map[string]any{"type": "m.room.server_acl", "content": map[string]any{"allow": []string{"*"}, "deny": []string{"evil.example"}}},
				map[string]any{"type": "m.room.retention", "content": map[string]any{"max_lifetime": 1000}},
				map[string]any{"type": "org.example.setting", "content": map[string]any{"x": 1}},
				map[string]any{"type": "m.space.child", "state_key": "!x:hs", "content": map[string]any{"via": []string{"hs"}}},
			},
		})
		g.ok(http.MethodPut, "alice", aliasPath("#other:hs"), map[string]string{"room_id": old})
		g.to("alice", old, "invite", "bob")
		g.act("bob", old, "join")
		g.ok(http.MethodPost, "alice", roomPath(old, "ban"), map[string]any{"user_id": userID("eve"), "reason": "spam"})
		levels := g.content("alice", old, "m.room.power_levels", "")
		last := g.say("bob", old, "last words")

		id := g.upgraded("alice", old, map[string]any{"new_version": "11"})
		require.NotEqual(t, old, id)
		require.Equal(t, map[string]any{
			"room_version": "11", "type": "org.example.kind", "m.federate": false,
			"predecessor": map[string]any{"room_id": old, "event_id": last},
		}, g.content("alice", id, "m.room.create", ""))
		for typ, want := range map[string]map[string]any{
			"m.room.join_rules":         {"join_rule": "knock"},
			"m.room.history_visibility": {"history_visibility": "joined"},
			"m.room.guest_access":       {"guest_access": "forbidden"},
			"m.room.avatar":             {"url": "mxc://hs/a"},
			"m.room.encryption":         {"algorithm": "m.megolm.v1.aes-sha2"},
			"m.room.server_acl":         {"allow": []any{"*"}, "deny": []any{"evil.example"}},
			"m.room.retention":          {"max_lifetime": float64(1000)},
			"m.room.name":               {"name": "Geese"},
			"m.room.canonical_alias":    {"alias": "#geese:hs"},
			"m.room.power_levels":       levels,
			"org.example.setting":       nil,
		} {
			require.Equal(t, want, g.content("alice", id, typ, ""), typ)
		}
		require.Equal(t, "letters", g.content("alice", id, "m.room.topic", "")["topic"])
		require.Nil(t, g.content("alice", id, "m.space.child", "!x:hs"), "it is no space")
		require.Equal(t, map[string]any{"membership": "ban", "reason": "spam"}, g.content("alice", id, "m.room.member", userID("eve")))
		require.Nil(t, g.content("alice", id, "m.room.member", userID("bob")), "members are not carried over")

		require.Equal(t, id, g.content("alice", old, "m.room.tombstone", "")["replacement_room"])
		require.Equal(t, id, g.aliasOf("#geese:hs"))
		require.Equal(t, id, g.aliasOf("#other:hs"))
		require.Empty(t, g.content("alice", old, "m.room.canonical_alias", ""))
		require.Equal(t, "private", g.directory(old))
		require.Equal(t, "public", g.directory(id))
		require.Equal(t, []string{id}, g.found("bob", nil).field("chunk", "room_id"), "the new one is listed in the old one's place")
		now := g.content("alice", old, "m.room.power_levels", "")
		require.EqualValues(t, 50, now["events_default"])
		require.EqualValues(t, 50, now["invite"])
		require.Equal(t, levels["users"], now["users"])
		require.Equal(t, 403, g.do(http.MethodPut, "bob", roomPath(old, "send", "m.room.message", "x"), map[string]any{}).status)
		g.verify(old, event.V10)
		g.verify(id, event.V11)
	})
}

func TestUpgradeBetweenVersions(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for _, from := range event.Versions() {
			for _, to := range []event.RoomVersion{event.V1, event.V3, event.V9, event.V11, event.V12} {
				old := g.createWith("alice", map[string]any{"preset": "public_chat", "room_version": string(from)})
				g.act("bob", old, "join")
				id := g.upgraded("alice", old, map[string]any{"new_version": string(to), "additional_creators": []string{userID("carol")}})
				name := fmt.Sprintf("%s to %s", from, to)
				create, levels := g.content("alice", id, "m.room.create", ""), g.content("alice", id, "m.room.power_levels", "")
				if to.Rules().InfiniteCreators {
					require.Equal(t, []any{userID("carol")}, create["additional_creators"], name)
					require.Empty(t, levels["users"], name)
					require.NotContains(t, create["predecessor"], "event_id", name)
				} else {
					require.NotContains(t, create, "additional_creators", name)
					require.Greater(t, levels["users"].(map[string]any)[userID("alice")], 99.0, name)
				}
				g.setState("alice", id, "m.room.topic", "", map[string]string{"topic": "it goes on"})
				g.act("bob", id, "join")
				g.say("bob", id, "hello")
				g.verify(old, from)
				g.verify(id, to)
			}
		}
	})
}

func TestUpgradeOfPowerLevelsAndRules(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		space := g.createWith("alice", map[string]any{"preset": "public_chat"})
		old := g.createWith("alice", map[string]any{
			"room_version": "9", "preset": "public_chat", "creation_content": map[string]any{"type": "m.space"},
			"initial_state": []any{
				map[string]any{"type": "m.room.join_rules", "content": allow("restricted", space)},
				map[string]any{"type": "m.space.child", "state_key": "!x:hs", "content": map[string]any{"via": []string{"hs"}}},
				map[string]any{"type": "m.space.child", "state_key": "!gone:hs", "content": map[string]any{}},
			},
			"power_level_content_override": map[string]any{
				"users":  map[string]any{userID("alice"): 100, userID("mod"): "50", userID("bob"): 7},
				"events": map[string]any{"m.room.tombstone": "50", "x": 7}, "users_default": " 60 ", "kick": "70",
				"notifications": map[string]any{"room": "20"}, "org.example": "30",
			},
		})
		g.to("alice", old, "invite", "mod")
		g.act("mod", old, "join")
		id := g.upgraded("mod", old, map[string]any{"new_version": "10"})
		want := g.content("mod", id, "m.room.power_levels", "")
		require.Equal(t, map[string]any{userID("alice"): 100.0, userID("mod"): 50.0, userID("bob"): 7.0}, want["users"])
		require.Equal(t, map[string]any{"m.room.tombstone": 50.0, "x": 7.0}, want["events"])
		require.Equal(t, map[string]any{"room": 20.0}, want["notifications"])
		require.Equal(t, []any{60.0, 70.0, "30"}, []any{want["users_default"], want["kick"], want["org.example"]})
		require.Equal(t, allow("restricted", space), g.content("mod", id, "m.room.join_rules", ""))
		require.NotNil(t, g.content("mod", id, "m.space.child", "!x:hs"))
		require.Nil(t, g.content("mod", id, "m.space.child", "!gone:hs"))
		require.EqualValues(t, 0, g.content("mod", old, "m.room.power_levels", "")["events_default"], "mod may not raise them above 50")

		back := g.upgraded("mod", id, map[string]any{"new_version": "7"})
		require.Equal(t, map[string]any{"join_rule": "invite", "allow": allow("restricted", space)["allow"]}, g.content("mod", back, "m.room.join_rules", ""))
		twelve := g.upgraded("mod", back, map[string]any{"new_version": "12"})
		require.NotContains(t, g.content("mod", twelve, "m.room.power_levels", "")["users"], userID("mod"))
		require.Contains(t, g.content("mod", twelve, "m.room.power_levels", "")["users"], userID("alice"))
		eleven := g.upgraded("mod", twelve, map[string]any{"new_version": "11"})
		require.EqualValues(t, 100, g.content("mod", eleven, "m.room.power_levels", "")["users"].(map[string]any)[userID("mod")])
		for room, v := range map[string]event.RoomVersion{old: event.V9, id: event.V10, back: event.V7, twelve: event.V12, eleven: event.V11} {
			g.verify(room, v)
		}
	})
}

func TestUpgradeIsRefused(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		g.act("bob", id, "join")
		g.act("gone", id, "join")
		g.act("gone", id, "leave")
		for name, c := range map[string]struct {
			user, room, body string
			status           int
			code             string
		}{
			"no power":           {"bob", id, `{"new_version":"12"}`, 403, "M_FORBIDDEN"},
			"permission first":   {"bob", id, `{`, 403, "M_FORBIDDEN"},
			"not in the room":    {"dave", id, `{"new_version":"12"}`, 403, "M_FORBIDDEN"},
			"left":               {"gone", id, `{"new_version":"12"}`, 403, "M_FORBIDDEN"},
			"unknown room":       {"alice", "!unknown:hs", `{"new_version":"12"}`, 403, "M_FORBIDDEN"},
			"malformed room":     {"alice", "unknown", `{"new_version":"12"}`, 400, "M_INVALID_PARAM"},
			"not json":           {"alice", id, `{`, 400, "M_NOT_JSON"},
			"no version":         {"alice", id, `{}`, 400, "M_MISSING_PARAM"},
			"version a number":   {"alice", id, `{"new_version":12}`, 400, "M_BAD_JSON"},
			"unknown version":    {"alice", id, `{"new_version":"99"}`, 400, "M_UNSUPPORTED_ROOM_VERSION"},
			"creators no list":   {"alice", id, `{"new_version":"12","additional_creators":"x"}`, 400, "M_BAD_JSON"},
			"creators no users":  {"alice", id, `{"new_version":"12","additional_creators":["x"]}`, 400, "M_INVALID_PARAM"},
			"creators no matter": {"alice", id, `{"new_version":"11","additional_creators":"x"}`, 200, ""},
		} {
			before := g.countRooms()
			a := g.doRaw(c.user, http.MethodPost, roomPath(c.room, "upgrade"), c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
			if c.status != 200 {
				require.Equal(t, before, g.countRooms(), "%s: no room is made", name)
			}
		}
		guest := httpx.Caller{UserID: userID("alice"), DeviceID: "D", Guest: true}
		require.Equal(t, "M_GUEST_ACCESS_FORBIDDEN", g.doAs(guest, http.MethodPost, roomPath(id, "upgrade"), nil).code())
		suspended := httpx.Caller{UserID: userID("alice"), DeviceID: "D", Suspended: true}
		require.Equal(t, "M_USER_SUSPENDED", g.doAs(suspended, http.MethodPost, roomPath(id, "upgrade"), nil).code())
	})
}

// countRooms counts the rooms of the server.
func (g *rig) countRooms() (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(g.t.Context(), `SELECT count(*) FROM room`).Scan(&n))
	return n
}
