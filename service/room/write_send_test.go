package room_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

func TestSendRefusals(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		g.act("bob", id, "join")
		g.act("carol", id, "join")
		g.act("carol", id, "leave")
		unknown := "!unknown:hs"
		text := `{"msgtype":"m.text","body":"x"}`
		big := `{"body":"` + strings.Repeat("x", 65536) + `"}`
		for name, c := range map[string]struct {
			user, path, body string
			status           int
			code             string
		}{
			"unknown room":         {"bob", roomPath(unknown, "send", "m.room.message", "1"), text, 403, "M_FORBIDDEN"},
			"unknown room, bad":    {"bob", roomPath(unknown, "send", "m.room.message", "1"), "{", 403, "M_FORBIDDEN"},
			"never joined":         {"dave", roomPath(id, "send", "m.room.message", "1"), "{", 403, "M_FORBIDDEN"},
			"left":                 {"carol", roomPath(id, "send", "m.room.message", "1"), text, 403, "M_FORBIDDEN"},
			"room id":              {"bob", roomPath("nonsense", "send", "m.room.message", "1"), text, 400, "M_INVALID_PARAM"},
			"not json":             {"bob", roomPath(id, "send", "m.room.message", "1"), "{", 400, "M_NOT_JSON"},
			"no object":            {"bob", roomPath(id, "send", "m.room.message", "1"), "[]", 400, "M_BAD_JSON"},
			"float":                {"bob", roomPath(id, "send", "m.room.message", "1"), `{"n":1.5}`, 400, "M_BAD_JSON"},
			"large integer":        {"bob", roomPath(id, "send", "m.room.message", "1"), `{"n":9007199254740992}`, 400, "M_BAD_JSON"},
			"bad utf-8":            {"bob", roomPath(id, "send", "m.room.message", "1"), "{\"n\":\"\xff\"}", 400, "M_NOT_JSON"},
			"too large":            {"bob", roomPath(id, "send", "m.room.message", "1"), big, 413, "M_TOO_LARGE"},
			"long type":            {"bob", roomPath(id, "send", strings.Repeat("t", 256), "1"), text, 413, "M_TOO_LARGE"},
			"long txn":             {"bob", roomPath(id, "send", "m.room.message", strings.Repeat("t", 600)), text, 400, "M_INVALID_PARAM"},
			"NUL in type":          {"bob", "/rooms/" + id + "/send/a%00b/1", text, 400, "M_INVALID_PARAM"},
			"create":               {"bob", roomPath(id, "send", "m.room.create", "1"), "{}", 400, "M_BAD_JSON"},
			"member as message":    {"bob", roomPath(id, "send", "m.room.member", "1"), `{"membership":"join"}`, 403, "M_FORBIDDEN"},
			"power":                {"bob", roomPath(id, "send", "m.room.power_levels", "1"), text, 403, "M_FORBIDDEN"},
			"redaction of none":    {"bob", roomPath(id, "send", "m.room.redaction", "1"), `{}`, 400, "M_BAD_JSON"},
			"redaction of number":  {"bob", roomPath(id, "send", "m.room.redaction", "1"), `{"redacts":1}`, 400, "M_BAD_JSON"},
			"state of no power":    {"bob", roomPath(id, "state", "m.room.name", ""), `{"name":"x"}`, 403, "M_FORBIDDEN"},
			"state of no power 2":  {"bob", roomPath(id, "state", "m.room.name", ""), `{`, 403, "M_FORBIDDEN"},
			"state create":         {"alice", roomPath(id, "state", "m.room.create", ""), `{}`, 400, "M_BAD_JSON"},
			"state create outside": {"dave", roomPath(id, "state", "m.room.create", ""), `{}`, 403, "M_FORBIDDEN"},
			"state create nowhere": {"dave", roomPath(unknown, "state", "m.room.create", ""), `{}`, 403, "M_FORBIDDEN"},
			"state redaction":      {"alice", roomPath(id, "state", "m.room.redaction", ""), `{"redacts":"$x"}`, 400, "M_INVALID_PARAM"},
			"state redaction, key": {"alice", roomPath(id, "state", "m.room.redaction", "x"), `{"redacts":"$x"}`, 400, "M_INVALID_PARAM"},
			"state not json":       {"alice", roomPath(id, "state", "m.room.name", ""), `{`, 400, "M_NOT_JSON"},
			"state too large":      {"alice", roomPath(id, "state", "m.room.name", ""), big, 413, "M_TOO_LARGE"},
			"state key too large":  {"alice", roomPath(id, "state", "t", strings.Repeat("k", 256)), `{}`, 413, "M_TOO_LARGE"},
			"NUL in state key":     {"alice", "/rooms/" + id + "/state/t/a%00b", `{}`, 400, "M_INVALID_PARAM"},
			"other's key":          {"alice", roomPath(id, "state", "t", "@bob:hs"), `{}`, 403, "M_FORBIDDEN"},
			"acl for others":       {"alice", roomPath(id, "state", "m.room.server_acl", ""), `{"allow":["*.org"]}`, 400, "M_INVALID_PARAM"},
			"acl for nobody":       {"alice", roomPath(id, "state", "m.room.server_acl", ""), `{}`, 400, "M_INVALID_PARAM"},
			"acl against us":       {"alice", roomPath(id, "state", "m.room.server_acl", ""), `{"allow":["*"],"deny":["H?"]}`, 400, "M_INVALID_PARAM"},
			"levels shape":         {"alice", roomPath(id, "state", "m.room.power_levels", ""), `{"ban":"50"}`, 400, "M_BAD_JSON"},
			"creator in levels":    {"alice", roomPath(id, "state", "m.room.power_levels", ""), `{"users":{"@alice:hs":100}}`, 400, "M_BAD_JSON"},
			"levels users":         {"alice", roomPath(id, "state", "m.room.power_levels", ""), `{"users":{"bob":1}}`, 400, "M_BAD_JSON"},
		} {
			a := g.doRaw(c.user, http.MethodPut, c.path, c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
		}
		suspended := httpx.Caller{UserID: userID("bob"), DeviceID: "D", Suspended: true}
		require.Equal(t, "M_USER_SUSPENDED", g.doBody(suspended, http.MethodPut, roomPath(id, "send", "m", "1"), []byte(text)).code())
		g.verify(id, event.V12)
	})
}

func TestTransactionIDs(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		other := g.create("")
		g.act("bob", id, "join")
		phone := httpx.Caller{UserID: userID("bob"), DeviceID: "phone", TokenID: "1"}
		renewed, laptop := phone, phone
		renewed.TokenID, laptop.DeviceID = "2", "laptop"
		send := func(c httpx.Caller, room, typ, txn, body string) answer {
			return g.doBody(c, http.MethodPut, roomPath(room, "send", typ, txn), []byte(fmt.Sprintf(`{"body":%q}`, body)))
		}
		first := send(phone, id, "m.room.message", "t", "one")
		require.Equal(t, 200, first.status)
		require.Equal(t, first, send(phone, id, "m.room.message", "t", "one"), "a repetition")
		require.Equal(t, first, send(renewed, id, "m.room.message", "t", "another body"), "the same device with a new token")
		require.NotEqual(t, first, send(laptop, id, "m.room.message", "t", "one"), "another device")
		require.NotEqual(t, first, send(phone, id, "m.room.other", "t", "one"), "another path")
		require.Equal(t, 403, send(phone, other, "m.room.message", "t", "one").status, "another room")
		g.act("bob", id, "leave")
		require.Equal(t, first, send(phone, id, "m.room.message", "t", "one"), "a repetition of what would be refused by now")
		require.Equal(t, 403, send(phone, id, "m.room.message", "t2", "one").status)

		redact := roomPath(id, "redact", first.str("event_id"), "r")
		g.act("bob", id, "join")
		gone := g.doBody(phone, http.MethodPut, redact, []byte(`{}`))
		require.Equal(t, 200, gone.status, string(gone.body))
		require.Equal(t, gone, g.doBody(phone, http.MethodPut, redact, []byte(`{}`)))
		require.Len(t, g.verify(id, event.V12), 6+1+3+1+1+1)
	})
}

// TestManySenders lets many devices send into one room at once, each message several times: all are there once, in
// the order in which each device sent them.
func TestManySenders(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		const senders, messages, repeats = 16, 20, 3
		id := g.create("")
		var wg sync.WaitGroup
		for s := range senders {
			user := fmt.Sprintf("user%d", s)
			g.act(user, id, "join")
			wg.Go(func() {
				for m := range messages {
					path := roomPath(id, "send", "m.room.message", fmt.Sprintf("t%d", m))
					answers := make([]answer, repeats)
					var same sync.WaitGroup
					for r := range answers {
						same.Go(func() {
							answers[r] = g.doRaw(user, http.MethodPut, path, fmt.Sprintf(`{"sender":%d,"n":%d}`, s, m))
						})
					}
					same.Wait()
					for _, a := range answers {
						if a.status != 200 || a.str("event_id") != answers[0].str("event_id") {
							t.Errorf("%s: %d %s, want as %s", path, a.status, a.body, answers[0].body)
						}
					}
				}
			})
		}
		wg.Wait()
		checkMessages(t, g.verify(id, event.V12), senders, messages)
	})
}

// checkMessages proves that each sender's messages are there once and in their order.
func checkMessages(t *testing.T, events []*event.Event, senders, messages int) {
	t.Helper()
	next := make([]int, senders)
	for _, e := range events {
		if e.Type() != "m.room.message" {
			continue
		}
		var c struct{ Sender, N int }
		require.NoError(t, json.Unmarshal(e.Content(), &c))
		require.Equal(t, next[c.Sender], c.N, "sender %d", c.Sender)
		next[c.Sender]++
	}
	for s, n := range next {
		require.Equal(t, messages, n, "sender %d", s)
	}
}

func TestStateEvents(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		put := func(path, body string) answer { return g.doRaw("alice", http.MethodPut, "/rooms/"+id+path, body) }
		first := put("/state/org.example", `{"a":1,"b":{"c":[]}}`)
		require.Equal(t, 200, first.status, string(first.body))
		require.Equal(t, first, put("/state/org.example/", `{"b":{"c":[]},"a":1}`), "the same content with the slash")
		second := put("/state/org.example/", `{"a":2}`)
		require.NotEqual(t, first, second)
		keyed := put("/state/org.example/a%2Fb", `{"a":2}`)
		require.NotEqual(t, second, keyed)
		require.Equal(t, map[string]any{"a": 2.0}, g.content("alice", id, "org.example", "a/b"))
		dup := put("/state/org.dup", `{"a":1,"a":2}`)
		require.Equal(t, 200, dup.status)
		require.Equal(t, map[string]any{"a": 2.0}, g.content("alice", id, "org.dup", ""), "of a key that is given twice the last value counts")

		e := g.get("alice", roomPath(id, "event", second.str("event_id"))).object()
		unsigned := e["unsigned"].(map[string]any)
		require.Equal(t, first.str("event_id"), unsigned["replaces_state"])
		require.Equal(t, map[string]any{"a": 1.0, "b": map[string]any{"c": []any{}}}, unsigned["prev_content"])
		require.Len(t, g.verify(id, event.V12), 6+4)
	})
}

func TestPowerLevels(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.createWith("alice", map[string]any{"room_version": "11", "preset": "public_chat"})
		for _, u := range []string{"bob", "carol"} {
			g.act(u, id, "join")
		}
		levels := func(user, body string) answer {
			return g.doRaw(user, http.MethodPut, roomPath(id, "state", "m.room.power_levels", ""), body)
		}
		require.Equal(t, 200, levels("alice", `{"users":{"@alice:hs":100,"@bob:hs":50},"events":{"m.room.power_levels":50}}`).status)
		require.Equal(t, 403, levels("bob", `{"users":{"@alice:hs":100,"@bob:hs":100},"events":{"m.room.power_levels":50}}`).status)
		require.Equal(t, 403, levels("bob", `{"users":{"@bob:hs":50},"events":{"m.room.power_levels":50}}`).status)
		require.Equal(t, 200, levels("bob", `{"users":{"@alice:hs":100,"@bob:hs":50,"@carol:hs":40},"events":{"m.room.power_levels":50}}`).status)
		require.Equal(t, 200, g.do(http.MethodPut, "carol", roomPath(id, "send", "x", "1"), map[string]any{}).status)
		// Levels without users are legal; then nobody can change them any more, as the defaults give nobody power.
		require.Equal(t, 200, levels("alice", `{}`).status)
		require.Equal(t, "M_FORBIDDEN", levels("alice", `{"users":{"@alice:hs":100}}`).code())
		g.verify(id, event.V11)
	})
}
