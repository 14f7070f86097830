package room_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
)

// allow is the content of join rules that let members of rooms in.
func allow(rule string, rooms ...string) map[string]any {
	conditions := []any{}
	for _, id := range rooms {
		conditions = append(conditions, map[string]any{"type": "m.room_membership", "room_id": id})
	}
	return map[string]any{"join_rule": rule, "allow": conditions}
}

// restrictedRoom makes a room of alice's with join rules, in which only she may invite.
func (g *world) restrictedRoom(version string, rules any) string {
	g.t.Helper()
	return g.createWith("alice", map[string]any{
		"preset": "private_chat", "room_version": version,
		"power_level_content_override": map[string]any{"invite": 50},
		"initial_state":                []any{map[string]any{"type": "m.room.join_rules", "content": rules}},
	})
}

func (g *rig) join(user, roomID string) answer {
	g.t.Helper()
	return g.do(http.MethodPost, user, roomPath(roomID, "join"), nil)
}

func TestRestrictedJoin(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for _, v := range []event.RoomVersion{event.V8, event.V9, event.V10, event.V11, event.V12} {
			for _, rule := range []event.JoinRule{event.JoinRuleRestricted, event.JoinRuleKnockRestricted} {
				space := g.createWith("alice", map[string]any{"preset": "public_chat"})
				id := g.restrictedRoom(string(v), allow(string(rule), "!elsewhere:hs", space))
				if rule == event.JoinRuleKnockRestricted && !v.Rules().KnockRestricted {
					g.act("bob", space, "join")
					require.Equal(t, "M_FORBIDDEN", g.join("bob", id).code(), "%s does not know %s", v, rule)
					continue
				}
				a := g.join("bob", id)
				require.Equal(t, 403, a.status, string(a.body))
				require.Equal(t, "M_FORBIDDEN", a.code())
				g.act("bob", space, "join")
				require.Equal(t, 200, g.join("bob", id).status)
				require.Equal(t, map[string]any{"membership": "join", "join_authorised_via_users_server": userID("alice")},
					g.content("bob", id, "m.room.member", userID("bob")))
				g.say("bob", id, "hello")
				g.act("bob", space, "leave")
				require.Equal(t, 200, g.join("bob", id).status, "who is in stays in")
				g.act("bob", id, "leave")
				require.Equal(t, 403, g.join("bob", id).status)

				g.act("carol", space, "join")
				put := g.doRaw("carol", http.MethodPut, roomPath(id, "state", "m.room.member", userID("carol")),
					`{"membership":"join","join_authorised_via_users_server":"@bob:hs"}`)
				require.Equal(t, 200, put.status, string(put.body))
				require.Equal(t, userID("alice"), g.content("carol", id, "m.room.member", userID("carol"))["join_authorised_via_users_server"])
				g.to("alice", id, "ban", "carol")
				require.Equal(t, 403, g.join("carol", id).status, "the banned stay out")
				g.to("alice", id, "invite", "dave")
				require.Equal(t, 200, g.join("dave", id).status, "an invite needs no condition")
				require.NotContains(t, g.content("dave", id, "m.room.member", userID("dave")), "join_authorised_via_users_server")
				if rule == event.JoinRuleKnockRestricted {
					require.Equal(t, 200, g.knock("erin", id, `{}`).status)
				} else {
					require.Equal(t, 403, g.knock("erin", id, `{}`).status)
				}
				g.verify(id, v)
			}
		}
	})
}

func TestRestrictedJoinNeedsSomebodyWhoInvites(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		space := g.createWith("alice", map[string]any{"preset": "public_chat"})
		g.act("bob", space, "join")
		g.act("carol", space, "join")
		id := g.restrictedRoom("11", allow("restricted", space))
		g.to("alice", id, "invite", "dave")
		g.act("dave", id, "join")
		g.act("alice", id, "leave")
		a := g.join("bob", id)
		require.Equal(t, 403, a.status, string(a.body))
		require.Equal(t, "M_FORBIDDEN", a.code())

		open := g.createWith("alice", map[string]any{
			"room_version": "11", "initial_state": []any{map[string]any{"type": "m.room.join_rules", "content": allow("restricted", space)}},
		})
		g.to("alice", open, "invite", "dave")
		g.act("dave", open, "join")
		g.act("alice", open, "leave")
		require.Equal(t, 200, g.join("bob", open).status, "where everybody may invite, anybody lets in")
		require.Equal(t, userID("dave"), g.content("bob", open, "m.room.member", userID("bob"))["join_authorised_via_users_server"])
		g.verify(open, event.V11)
	})
}

func TestMalformedConditionsAllowNobody(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		space := g.createWith("alice", map[string]any{"preset": "public_chat"})
		g.act("bob", space, "join")
		good := map[string]any{"type": "m.room_membership", "room_id": space}
		for name, c := range map[string]struct {
			allow  any
			status int
		}{
			"missing":        {nil, 403},
			"no list":        {"x", 403},
			"an object":      {good, 403},
			"empty":          {[]any{}, 403},
			"words":          {[]any{"x", 1, nil}, 403},
			"another type":   {[]any{map[string]any{"type": "org.example", "room_id": space}}, 403},
			"no type":        {[]any{map[string]any{"room_id": space}}, 403},
			"no room":        {[]any{map[string]any{"type": "m.room_membership"}}, 403},
			"room malformed": {[]any{map[string]any{"type": "m.room_membership", "room_id": "x"}}, 403},
			"room a number":  {[]any{map[string]any{"type": "m.room_membership", "room_id": 1}}, 403},
			"one is good":    {[]any{"x", map[string]any{"type": "x"}, good}, 200},
		} {
			rules := map[string]any{"join_rule": "restricted"}
			if c.allow != nil {
				rules["allow"] = c.allow
			}
			id := g.restrictedRoom("12", rules)
			a := g.join("bob", id)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
		}
		old := g.restrictedRoom("7", allow("restricted", space))
		require.Equal(t, 403, g.join("bob", old).status, "version 7 does not know the rule")
	})
}

// TestRestrictedJoinAcrossInstances checks that what another instance wrote to another room counts at once.
func TestRestrictedJoinAcrossInstances(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	space := one.createWith("alice", map[string]any{"preset": "public_chat"})
	id := two.restrictedRoom("12", allow("restricted", space))
	two.say("alice", id, "two knows the room")
	for i := range 10 {
		user := fmt.Sprintf("user%d", i)
		require.Equal(t, 403, two.join(user, id).status)
		one.act(user, space, "join")
		require.Equal(t, 200, two.join(user, id).status)
		two.act(user, id, "leave")
		one.act(user, space, "leave")
		require.Equal(t, 403, two.join(user, id).status)
	}
	one.setState("alice", id, "m.room.join_rules", "", map[string]any{"join_rule": "invite"})
	one.act("late", space, "join")
	require.Equal(t, 403, two.join("late", id).status, "the rules changed through another instance")
	one.verify(id, event.V12)
}
