package room_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
)

// TestEveryVersion goes through the life of a room of each version, and proves every event of it.
func TestEveryVersion(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for _, v := range event.Versions() {
			t.Run("version "+string(v), func(t *testing.T) {
				g := &world{rig: g.at(t), people: g.people, log: g.log}
				g.versionLife(v)
			})
		}
	})
}

// eventIDs are what event ids look like; in version 3 they may have slashes.
func idShape(v event.RoomVersion) string {
	switch {
	case v.Rules().OwnEventIDs:
		return `^\$[A-Za-z]{18}:hs$`
	case v.Rules().SlashedEventIDs:
		return `^\$[A-Za-z0-9+/]{43}$`
	}
	return `^\$[A-Za-z0-9_-]{43}$`
}

func (g *world) versionLife(v event.RoomVersion) {
	t, rules := g.t, v.Rules()
	id := g.createWith("alice", map[string]any{
		"preset": "public_chat", "room_version": string(v), "name": "Old", "invite": []string{userID("inv")},
		"initial_state": []any{map[string]any{"type": "m.room.aliases", "state_key": "hs", "content": map[string]any{"aliases": []string{"#x:hs"}, "more": 1}}},
	})
	require.Equal(t, string(v), g.content("alice", id, "m.room.create", "")["room_version"])
	require.Equal(t, rules.CreatorInContent, g.content("alice", id, "m.room.create", "")["creator"] == userID("alice"))
	for _, u := range []string{"bob", "inv", "eve"} {
		g.act(u, id, "join")
	}
	for range 5 {
		require.Regexp(t, regexp.MustCompile(idShape(v)), g.say("bob", id, "hello"))
	}
	g.to("alice", id, "ban", "eve")
	require.Equal(t, 403, g.join("eve", id).status)
	g.to("alice", id, "unban", "eve")
	g.act("eve", id, "join")
	g.to("alice", id, "kick", "eve")

	put := func(user, body string) answer {
		return g.doRaw(user, http.MethodPut, roomPath(id, "state", "m.room.power_levels", ""), body)
	}
	creator := `"@alice:hs":100,`
	if rules.InfiniteCreators {
		require.Equal(t, "M_BAD_JSON", put("alice", `{"users":{"@alice:hs":100}}`).code(), "a creator has all power anyway")
		creator = ""
	}
	require.Equal(t, 200, put("alice", `{"users":{`+creator+`"@bob:hs":50},"events":{"m.room.power_levels":50},"notifications":{"room":70}}`).status)
	require.Equal(t, 403, put("bob", `{"users":{`+creator+`"@bob:hs":51},"events":{"m.room.power_levels":50},"notifications":{"room":70}}`).status)
	a := put("bob", `{"users":{`+creator+`"@bob:hs":50},"events":{"m.room.power_levels":50},"notifications":{"room":0}}`)
	require.Equal(t, rules.NotificationLevels, a.status == 403, string(a.body))
	a = put("alice", `{"users":{`+creator+`"@bob:hs":"50"},"events":{"m.room.power_levels":50}}`)
	require.Equal(t, rules.IntegerPowerLevels, a.code() == "M_BAD_JSON", string(a.body))
	require.Equal(t, "M_BAD_JSON", put("alice", `{"users":{`+creator+`"@bob:hs":50.5}}`).code(), "clients send no fractions")

	said := g.say("inv", id, "oh")
	require.Equal(t, 403, g.do(http.MethodPut, "eve", roomPath(id, "redact", said, "t1"), map[string]any{}).status)
	require.Equal(t, 200, g.redact("bob", id, said, "r1").status)
	require.Equal(t, 403, g.redact("inv", id, g.say("bob", id, "mine"), "r2").status, "another's, without power")
	require.Equal(t, 200, g.redact("inv", id, g.say("inv", id, "my own"), "r3").status)
	g.redactState("m.room.aliases", "hs", id, rules.AliasesRule)
	g.verifyLive(id, v)
}

// redactState redacts a state event and tests whether "aliases", and nothing else, is kept of it.
func (g *world) redactState(typ, key, id string, kept bool) {
	g.t.Helper()
	whole := g.get("alice", roomPath(id, "state", typ, key)+"?format=event").object()
	require.Equal(g.t, 200, g.redact("alice", id, whole["event_id"].(string), "r-"+typ).status)
	want := map[string]any{}
	if kept {
		want["aliases"] = []any{"#x:hs"}
	}
	require.Equal(g.t, want, g.content("alice", id, typ, key))
}

// verifyLive is verify, and proves the references of versions that name events by hashes too.
func (g *world) verifyLive(id string, v event.RoomVersion) {
	g.t.Helper()
	for _, e := range g.verify(id, v) {
		if v.Rules().OwnEventIDs && len(e.PrevEvents()) > 0 {
			require.Contains(g.t, string(e.JSON()), `"event_id":"`+string(e.ID())+`"`)
		}
	}
}

// TestVersionOneAcrossInstances lets two instances take turns: each names events of the other by their hashes.
func TestVersionOneAcrossInstances(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	id := one.createWith("alice", map[string]any{"preset": "public_chat", "room_version": "1"})
	for _, g := range []*world{two, one, two, one} {
		said := g.say("alice", id, "hello")
		g.setState("alice", id, "m.room.topic", "", map[string]string{"topic": said})
		g.act("bob", id, "join")
		require.Equal(t, 200, g.redact("alice", id, said, "r"+said).status)
	}
	hashes := map[string]string{}
	for _, e := range one.verify(id, event.V1) {
		for _, prev := range e.PrevEvents() {
			require.Contains(t, string(e.JSON()), `["`+string(prev)+`",{"sha256":"`+hashes[string(prev)]+`"}]`)
		}
		hash, err := e.ReferenceHash()
		require.NoError(t, err)
		hashes[string(e.ID())] = hash
	}
}
