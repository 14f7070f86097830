package room_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

func types(events []*event.Event) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.Type()
	}
	return list
}

func TestCreateRoomEveryVersionAndPreset(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.people.set("alice", "Alice", "mxc://hs/alice")
		g.people.set("bob", "Bob", "")
		presets := map[string][4]any{ // join rule, guest access, level to invite, bob's own level (before version 12)
			"private_chat":         {"invite", "can_join", 0.0, nil},
			"trusted_private_chat": {"invite", "can_join", 0.0, 100.0},
			"public_chat":          {"public", "forbidden", 50.0, nil},
		}
		for _, version := range event.Versions() {
			for preset, want := range presets {
				id := g.createWith("alice", map[string]any{
					"room_version": version, "preset": preset, "name": "A name", "topic": "A topic",
					"room_alias_name": "room-" + string(version) + preset, "is_direct": true,
					"invite":           []string{userID("bob"), userID("bob")},
					"creation_content": map[string]any{"room_version": "1", "creator": "@eve:hs", "type": "m.space"},
					"initial_state": []any{
						map[string]any{"type": "m.room.name", "content": map[string]any{"name": "replaced"}},
						map[string]any{"type": "org.example", "state_key": "x", "content": map[string]any{"n": 1}},
					},
				})
				events := g.verify(id, version)
				require.Equal(t, []string{
					"m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias", "m.room.join_rules",
					"m.room.history_visibility", "m.room.guest_access", "org.example", "m.room.name", "m.room.topic",
					"m.room.member",
				}, types(events))

				create := g.content("alice", id, "m.room.create", "")
				require.Equal(t, string(version), create["room_version"])
				require.Equal(t, "m.space", create["type"])
				if version.Rules().CreatorInContent {
					require.Equal(t, userID("alice"), create["creator"])
				} else {
					require.NotContains(t, create, "creator")
				}
				require.Equal(t, map[string]any{
					"membership": "join", "displayname": "Alice", "avatar_url": "mxc://hs/alice",
				}, g.content("alice", id, "m.room.member", userID("alice")))
				require.Equal(t, map[string]any{
					"membership": "invite", "displayname": "Bob", "avatar_url": "", "is_direct": true,
				}, g.content("alice", id, "m.room.member", userID("bob")))
				require.Equal(t, "A name", g.content("alice", id, "m.room.name", "")["name"])
				topic := g.content("alice", id, "m.room.topic", "")
				require.Equal(t, "A topic", topic["topic"])
				require.Equal(t, map[string]any{"m.text": []any{map[string]any{"body": "A topic", "mimetype": "text/plain"}}}, topic["m.topic"])
				require.Equal(t, want[0], g.content("alice", id, "m.room.join_rules", "")["join_rule"])
				require.Equal(t, want[1], g.content("alice", id, "m.room.guest_access", "")["guest_access"])
				checkLevels(t, version, g.content("alice", id, "m.room.power_levels", ""), create, want)
			}
		}
	})
}

func TestTrustedPrivateChatMergesCreators(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		bob, carol, dave := userID("bob"), userID("carol"), userID("dave")
		id := g.createWith("alice", map[string]any{
			"preset": "trusted_private_chat", "invite": []string{bob, carol},
			"creation_content": map[string]any{"additional_creators": []string{dave, bob, dave}},
		})
		require.Equal(t, []any{dave, bob, carol}, g.content("alice", id, "m.room.create", "")["additional_creators"])
		require.Empty(t, g.content("alice", id, "m.room.power_levels", "")["users"])
		g.act("bob", id, "join")
		g.setState("bob", id, "m.room.tombstone", "", map[string]string{"body": "x", "replacement_room": "!x"})
		g.verify(id, event.V12)
	})
}

// TestTombstonesNeedMoreThanOtherState: the level for m.room.tombstone must be above state_default, whatever that is.
func TestTombstonesNeedMoreThanOtherState(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for stateDefault, want := range map[int64]float64{0: 150, 149: 150, 150: 151, 500: 501, 1<<53 - 1: 1<<53 - 1} {
			id := g.createWith("alice", map[string]any{
				"power_level_content_override": map[string]any{"state_default": stateDefault},
			})
			levels := g.content("alice", id, "m.room.power_levels", "")
			require.Equal(t, float64(stateDefault), levels["state_default"])
			require.Equal(t, want, levels["events"].(map[string]any)["m.room.tombstone"])
		}
	})
}

func checkLevels(t *testing.T, version event.RoomVersion, levels, create map[string]any, want [4]any) {
	t.Helper()
	require.Equal(t, want[2], levels["invite"])
	users, tombstone := levels["users"].(map[string]any), levels["events"].(map[string]any)["m.room.tombstone"]
	if !version.Rules().InfiniteCreators {
		require.Equal(t, 100.0, users[userID("alice")])
		require.Equal(t, want[3], users[userID("bob")])
		require.Equal(t, 100.0, tombstone)
		return
	}
	require.Empty(t, users)
	require.Equal(t, 150.0, tombstone)
	if want[3] == nil {
		require.NotContains(t, create, "additional_creators")
	} else {
		require.Equal(t, []any{userID("bob")}, create["additional_creators"])
	}
}

func TestCreateRoomRefusals(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		g.createWith("alice", map[string]any{"room_alias_name": "taken"})
		state := func(typ string, content any) map[string]any {
			return map[string]any{"initial_state": []any{map[string]any{"type": typ, "content": content}}}
		}
		for name, c := range map[string]struct {
			body   map[string]any
			status int
			code   string
		}{
			"numeric version":        {map[string]any{"room_version": 12}, 400, "M_BAD_JSON"},
			"unknown version":        {map[string]any{"room_version": "99"}, 400, "M_UNSUPPORTED_ROOM_VERSION"},
			"preset":                 {map[string]any{"preset": "cosy"}, 400, "M_INVALID_PARAM"},
			"visibility":             {map[string]any{"visibility": "secret"}, 400, "M_INVALID_PARAM"},
			"alias in use":           {map[string]any{"room_alias_name": "taken"}, 400, "M_ROOM_IN_USE"},
			"whole alias":            {map[string]any{"room_alias_name": "#a:hs"}, 400, "M_INVALID_PARAM"},
			"empty alias":            {map[string]any{"room_alias_name": ""}, 400, "M_INVALID_PARAM"},
			"invite nobody":          {map[string]any{"invite": []string{"bob"}}, 400, "M_INVALID_PARAM"},
			"invite oneself":         {map[string]any{"invite": []string{userID("alice")}}, 403, "M_FORBIDDEN"},
			"invite elsewhere":       {map[string]any{"invite": []string{"@bob:elsewhere"}}, 403, "M_FORBIDDEN"},
			"invite shape":           {map[string]any{"invite": "bob"}, 400, "M_BAD_JSON"},
			"third party":            {map[string]any{"invite_3pid": []any{map[string]any{"medium": "email"}}}, 403, "M_SERVER_NOT_TRUSTED"},
			"creation shape":         {map[string]any{"creation_content": []int{1}}, 400, "M_BAD_JSON"},
			"federate shape":         {map[string]any{"creation_content": map[string]any{"m.federate": "no"}}, 400, "M_BAD_JSON"},
			"creators shape":         {map[string]any{"creation_content": map[string]any{"additional_creators": "bob"}}, 400, "M_BAD_JSON"},
			"creators nobody":        {map[string]any{"creation_content": map[string]any{"additional_creators": []string{"bob"}}}, 400, "M_INVALID_PARAM"},
			"creator in levels":      {map[string]any{"power_level_content_override": map[string]any{"users": map[string]int{userID("alice"): 100}}}, 400, "M_BAD_JSON"},
			"levels shape":           {map[string]any{"power_level_content_override": map[string]any{"ban": "50"}}, 400, "M_BAD_JSON"},
			"float level":            {map[string]any{"power_level_content_override": map[string]any{"ban": 1.5}}, 400, "M_BAD_JSON"},
			"state without type":     {state("", map[string]any{}), 400, "M_BAD_JSON"},
			"state without content":  {map[string]any{"initial_state": []any{map[string]any{"type": "a"}}}, 400, "M_BAD_JSON"},
			"second create event":    {state("m.room.create", map[string]any{}), 400, "M_BAD_JSON"},
			"redaction as state":     {state("m.room.redaction", map[string]any{"redacts": "$x"}), 400, "M_INVALID_PARAM"},
			"join of somebody else":  {map[string]any{"initial_state": []any{map[string]any{"type": "m.room.member", "state_key": userID("bob"), "content": map[string]any{"membership": "join"}}}}, 400, "M_INVALID_ROOM_STATE"},
			"alias of another room":  {state("m.room.canonical_alias", map[string]any{"alias": "#taken:hs"}), 400, "M_BAD_ALIAS"},
			"too large":              {state("big", map[string]any{"x": strings.Repeat("y", 65536)}), 413, "M_TOO_LARGE"},
			"key of somebody else's": {map[string]any{"initial_state": []any{map[string]any{"type": "t", "state_key": "@bob:hs", "content": map[string]any{}}}}, 400, "M_INVALID_ROOM_STATE"},
		} {
			a := g.do(http.MethodPost, "alice", "/createRoom", c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
		}
		a := g.do(http.MethodPost, "alice", "/createRoom", map[string]any{
			"room_version": "11", "name": "x",
			"power_level_content_override": map[string]any{"users": map[string]int{userID("alice"): 0}},
		})
		require.Equal(t, "M_INVALID_ROOM_STATE", a.code(), "a creator without power cannot name the room")

		suspended := httpx.Caller{UserID: userID("alice"), DeviceID: "D", Suspended: true}
		require.Equal(t, "M_USER_SUSPENDED", g.doAs(suspended, http.MethodPost, "/createRoom", map[string]any{}).code())
		guest := httpx.Caller{UserID: userID("guest"), DeviceID: "D", Guest: true}
		require.Equal(t, "M_GUEST_ACCESS_FORBIDDEN", g.doAs(guest, http.MethodPost, "/createRoom", map[string]any{}).code())
		require.Equal(t, "M_NOT_JSON", g.doRaw("alice", http.MethodPost, "/createRoom", `{"name"`).code())

		joined := g.get("alice", "/joined_rooms").object()["joined_rooms"]
		require.Len(t, joined, 1, "a refused room is not there at all")
	})
}

// doRaw sends a body as it is.
func (g *rig) doRaw(user, method, path, body string) answer {
	g.t.Helper()
	return g.doBody(httpx.Caller{UserID: userID(user), DeviceID: "D-" + user}, method, path, []byte(body))
}

func TestCreateRoomHappensOnce(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		caller := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: "k1"}
		first := g.doAs(caller, http.MethodPost, "/createRoom", map[string]any{"room_alias_name": "once"})
		again := g.doAs(caller, http.MethodPost, "/createRoom", map[string]any{"room_alias_name": "once"})
		require.Equal(t, 200, first.status, string(first.body))
		require.Equal(t, string(first.body), string(again.body))
		caller.IdempotencyKey = "k2"
		require.Equal(t, "M_ROOM_IN_USE", g.doAs(caller, http.MethodPost, "/createRoom", map[string]any{"room_alias_name": "once"}).code())
	})
}

func TestEqualRoomsAreDifferentRooms(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		const n = 20
		ids := make(chan string, n)
		for range n {
			go func() {
				a := g.do(http.MethodPost, "alice", "/createRoom", map[string]any{"room_version": "12"})
				ids <- a.str("room_id")
			}()
		}
		seen := map[string]bool{}
		for range n {
			id := <-ids
			require.NotEmpty(t, id)
			require.False(t, seen[id], "two rooms share the id %s", id)
			seen[id] = true
		}
	})
}

func TestManyInvites(t *testing.T) {
	g := newWorld(t, databases["sqlite"](t), nil)
	var users []string
	for i := range 100 {
		users = append(users, userID(fmt.Sprintf("user%d", i)))
	}
	id := g.createWith("alice", map[string]any{"invite": users})
	require.Len(t, g.verify(id, event.V12), 6+100)
	var more []string
	for i := range 501 {
		more = append(more, userID(fmt.Sprintf("user%d", i)))
	}
	require.Equal(t, "M_INVALID_PARAM", g.do(http.MethodPost, "alice", "/createRoom", map[string]any{"invite": more}).code())
}
