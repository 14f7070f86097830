package room_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
)

func (g *rig) redact(user, roomID, eventID, txn string) answer {
	g.t.Helper()
	return g.do(http.MethodPut, user, roomPath(roomID, "redact", eventID, txn), map[string]any{"reason": "oops"})
}

func TestRedactEveryVersion(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for _, version := range event.Versions() {
			id := g.createWith("alice", map[string]any{"room_version": version, "preset": "public_chat"})
			g.act("bob", id, "join")
			target := g.say("bob", id, "secret")
			a := g.redact("bob", id, target, "1")
			require.Equal(t, 200, a.status, string(a.body))
			redaction := a.str("event_id")
			sent := g.doRaw("bob", http.MethodPut, roomPath(id, "send", "m.room.redaction", "2"),
				fmt.Sprintf(`{"redacts":%q,"reason":"by send"}`, g.say("bob", id, "secret")))
			require.Equal(t, 200, sent.status, string(sent.body))

			e := g.get("alice", roomPath(id, "event", target)).object()
			require.Empty(t, e["content"])
			because := e["unsigned"].(map[string]any)["redacted_because"].(map[string]any)
			require.Equal(t, redaction, because["event_id"])
			require.Equal(t, target, because["redacts"], "version %s", version)
			require.Equal(t, target, because["content"].(map[string]any)["redacts"], "version %s", version)
			require.Equal(t, "oops", because["content"].(map[string]any)["reason"])
			for _, e := range g.timeline("alice", id, 5) {
				raw, err := json.Marshal(e)
				require.NoError(t, err)
				require.NotContains(t, string(raw), "secret")
			}
			for _, e := range g.verify(id, version) {
				if e.Type() == event.TypeRedaction {
					inContent := e.ContentValue("redacts") != nil
					require.Equal(t, version.Rules().RedactsInContent, inContent, "version %s", version)
				}
			}
		}
		g.requireNowhere("secret")
	})
}

// requireNowhere proves that the database has forgotten a text.
func (g *world) requireNowhere(text string) {
	g.t.Helper()
	for _, sql := range []string{`SELECT json FROM event`, `SELECT body FROM room_entry`} {
		rows, err := g.db.Query(context.Background(), sql)
		require.NoError(g.t, err)
		for rows.Next() {
			var raw []byte
			require.NoError(g.t, rows.Scan(&raw))
			require.NotContains(g.t, string(raw), text, sql)
		}
		require.NoError(g.t, rows.Err())
	}
}

func TestRedactionRules(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		other := g.create("")
		for _, u := range []string{"bob", "carol"} {
			g.act(u, id, "join")
		}
		bobs, alices, elsewhere := g.say("bob", id, "x"), g.say("alice", id, "x"), g.say("alice", other, "x")
		create := g.verify(id, event.V12)[0].ID()
		for name, c := range map[string]struct {
			user, target string
			status       int
			code         string
		}{
			"another's":     {"carol", bobs, 403, "M_FORBIDDEN"},
			"outsider":      {"dave", bobs, 403, "M_FORBIDDEN"},
			"unknown":       {"bob", "$unknown", 404, "M_NOT_FOUND"},
			"nonsense":      {"bob", "nonsense", 404, "M_NOT_FOUND"},
			"another room":  {"alice", elsewhere, 404, "M_NOT_FOUND"},
			"create":        {"alice", string(create), 403, "M_FORBIDDEN"},
			"of more power": {"bob", alices, 403, "M_FORBIDDEN"},
		} {
			a := g.redact(c.user, id, c.target, name)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), "%s: %s", name, a.body)
		}
		require.Equal(t, 403, g.doRaw("dave", http.MethodPut, roomPath(id, "redact", bobs, "t"), "{").status)
		require.Equal(t, 400, g.doRaw("bob", http.MethodPut, roomPath(id, "redact", bobs, "t"), "{").status)
		first := g.redact("alice", id, bobs, "1")
		require.Equal(t, 200, first.status)
		require.Equal(t, 200, g.redact("bob", id, bobs, "2").status, "redacting twice")
		e := g.get("carol", roomPath(id, "event", bobs)).object()
		require.Equal(t, first.str("event_id"), e["unsigned"].(map[string]any)["redacted_because"].(map[string]any)["event_id"])

		g.setState("alice", id, "m.room.power_levels", "", map[string]any{"redact": 60, "events": map[string]int{"m.room.redaction": 40}})
		require.Equal(t, 403, g.redact("carol", id, g.say("carol", id, "x"), "3").status, "redactions need a level of their own")

		admin := httpx.Caller{UserID: userID("admin"), DeviceID: "D", Admin: true}
		g.setState("alice", id, "m.room.power_levels", "", map[string]any{})
		require.Equal(t, 200, g.doAs(admin, http.MethodPost, roomPath(id, "join"), nil).status)
		require.Equal(t, 200, g.doAs(admin, http.MethodPut, roomPath(id, "redact", alices, "4"), nil).status)
		suspended := httpx.Caller{UserID: userID("carol"), DeviceID: "D", Suspended: true}
		require.Equal(t, "M_USER_SUSPENDED", g.doAs(suspended, http.MethodPut, roomPath(id, "redact", bobs, "5"), nil).code())
		own := g.say("carol", id, "mine")
		require.Equal(t, 200, g.doAs(suspended, http.MethodPut, roomPath(id, "redact", own, "6"), nil).status)
		g.verify(id, event.V12)
	})
}

func TestRedactedStateIsNowhere(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		id := g.create("")
		first := g.setState("alice", id, "m.room.topic", "", map[string]string{"topic": "secret one"})
		second := g.setState("alice", id, "m.room.topic", "", map[string]string{"topic": "secret two"})
		third := g.setState("alice", id, "m.room.topic", "", map[string]string{"topic": "open"})
		require.Equal(t, 200, g.redact("alice", id, first, "1").status)
		require.Equal(t, 200, g.redact("alice", id, second, "2").status)
		for _, target := range []string{first, second, third} {
			a := g.get("alice", roomPath(id, "event", target))
			require.Equal(t, 200, a.status)
			require.NotContains(t, string(a.body), "secret")
		}
		require.Equal(t, "open", g.content("alice", id, "m.room.topic", "")["topic"])
		rules := g.setState("alice", id, "m.room.join_rules", "", map[string]string{"join_rule": "public", "x": "secret"})
		require.Equal(t, 200, g.redact("alice", id, rules, "3").status)
		require.Equal(t, map[string]any{"join_rule": "public"}, g.content("alice", id, "m.room.join_rules", ""))
		g.act("bob", id, "join")
		levels := g.setState("alice", id, "m.room.power_levels", "", map[string]any{"invite": 77, "notifications": map[string]int{"room": 1}})
		require.Equal(t, 200, g.redact("alice", id, levels, "4").status)
		g.say("bob", id, "still works")
		g.requireNowhere("secret")
		g.verify(id, event.V12)
	})
}

// TestRedactedRedactionIsNowhere redacts redactions: what they gave as their reason goes from the events that they redacted.
func TestRedactedRedactionIsNowhere(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, g *world) {
		for _, version := range event.Versions() {
			id := g.createWith("alice", map[string]any{"room_version": version})
			target := g.say("alice", id, "x")
			redact := func(target, txn, body string) string {
				a := g.doRaw("alice", http.MethodPut, roomPath(id, "redact", target, txn), body)
				require.Equal(t, 200, a.status, string(a.body))
				return a.str("event_id")
			}
			because := func(target string) map[string]any {
				a := g.get("alice", roomPath(id, "event", target))
				require.Equal(t, 200, a.status)
				cause, _ := a.object()["unsigned"].(map[string]any)["redacted_because"].(map[string]any)
				return cause
			}
			first := redact(target, "1", `{"reason":"open"}`)
			second := redact(target, "2", `{"reason":"hidden too"}`)
			redact(second, "3", `{}`)
			require.Equal(t, first, because(target)["event_id"])
			require.Equal(t, "open", because(target)["content"].(map[string]any)["reason"], "the second was not the cause")

			other := g.say("alice", id, "y")
			cause := redact(other, "4", `{"reason":"hidden"}`)
			last := redact(cause, "5", `{}`)
			require.Equal(t, cause, because(other)["event_id"], "the event stays redacted")
			require.NotContains(t, because(other)["content"], "reason")
			require.Equal(t, last, because(cause)["event_id"])
			g.verify(id, version)
		}
		g.requireNowhere("hidden")
	})
}
