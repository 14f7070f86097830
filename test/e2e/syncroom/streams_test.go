package syncroom_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAccountData(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		room := alice.create(nil)
		path := "/user/" + alice.user + "/account_data/org.example.a"
		inRoom := "/user/" + alice.user + "/rooms/" + esc(room) + "/account_data/org.example.b"
		require.Equal(t, http.StatusNotFound, alice.do(g.sync.handler, http.MethodGet, path, nil).status)
		alice.sync()
		alice.ok(http.MethodPut, path, map[string]any{"x": 1})
		alice.ok(http.MethodPut, inRoom, map[string]any{"y": 2})
		require.Equal(t, map[string]any{"x": 1.0}, alice.ok(http.MethodGet, path, nil))
		require.Equal(t, map[string]any{"y": 2.0}, alice.ok(http.MethodGet, inRoom, nil))
		r := alice.sync()
		require.Equal(t, []string{"org.example.a"}, r.types("account_data"))
		require.Equal(t, []string{"org.example.b"}, r.join(room).types("account_data"))
		require.False(t, alice.sync().has("account_data"))

		g.restart()
		fresh := g.client("alice").sync()
		require.ElementsMatch(t, []string{"org.example.a", "m.push_rules"}, fresh.types("account_data"))
		require.Equal(t, []string{"org.example.b"}, fresh.join(room).types("account_data"))

		for _, eventType := range []string{"m.fully_read", "m.push_rules"} {
			a := alice.do(g.sync.handler, http.MethodPut, "/user/"+alice.user+"/account_data/"+eventType, map[string]any{})
			require.Equal(t, http.StatusMethodNotAllowed, a.status)
			require.Equal(t, "M_BAD_JSON", a.object()["errcode"])
		}
		bob := g.client("bob")
		require.Equal(t, http.StatusForbidden, bob.do(g.sync.handler, http.MethodGet, path, nil).status)
		require.Equal(t, http.StatusForbidden, bob.do(g.sync.handler, http.MethodPut, path, nil).status)
		a := alice.do(g.sync.handler, http.MethodPut, "/user/"+alice.user+"/rooms/bad/account_data/x", map[string]any{})
		require.Equal(t, "M_INVALID_PARAM", a.object()["errcode"])
		a = alice.do(g.sync.handler, http.MethodPut, path, "[]")
		require.Equal(t, http.StatusBadRequest, a.status)
	})
}

func TestTags(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		room := alice.create(nil)
		path := "/user/" + alice.user + "/rooms/" + esc(room) + "/tags"
		require.Equal(t, map[string]any{"tags": map[string]any{}}, alice.ok(http.MethodGet, path, nil))
		alice.sync()
		alice.ok(http.MethodPut, path+"/u.work", map[string]any{"order": 0.5})
		alice.ok(http.MethodPut, path+"/m.favourite", map[string]any{})
		want := map[string]any{"u.work": map[string]any{"order": 0.5}, "m.favourite": map[string]any{}}
		require.Equal(t, want, alice.ok(http.MethodGet, path, nil)["tags"])
		data := alice.sync().join(room).list("account_data", "events")
		require.Equal(t, want, data[len(data)-1].get("content", "tags").v)
		alice.ok(http.MethodDelete, path+"/u.work", nil)
		require.Equal(t, map[string]any{"m.favourite": map[string]any{}}, alice.ok(http.MethodGet, path, nil)["tags"])
		a := alice.do(g.sync.handler, http.MethodPut, path+"/u.work", map[string]any{"order": 2})
		require.Equal(t, "M_INVALID_PARAM", a.object()["errcode"])
	})
}

func TestPushRules(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		alice.sync()
		all := result{t, alice.ok(http.MethodGet, "/pushrules/", nil)}
		require.NotEmpty(t, all.list("global", "override"))
		rule := "/pushrules/global/override/my.rule"
		require.Equal(t, http.StatusNotFound, alice.do(g.sync.handler, http.MethodGet, rule, nil).status)
		alice.ok(http.MethodPut, rule, map[string]any{"actions": []any{"notify"}, "conditions": []any{}})
		r := alice.sync()
		require.Equal(t, []string{"m.push_rules"}, r.types("account_data"))
		own := r.list("account_data", "events")[0].list("content", "global", "override")[1]
		require.Equal(t, "my.rule", own.str("rule_id"))
		require.Equal(t, map[string]any{"enabled": true}, alice.ok(http.MethodGet, rule+"/enabled", nil))
		alice.ok(http.MethodPut, rule+"/enabled", map[string]any{"enabled": false})
		require.Equal(t, map[string]any{"enabled": false}, alice.ok(http.MethodGet, rule+"/enabled", nil))
		alice.ok(http.MethodPut, rule+"/actions", map[string]any{"actions": []any{}})
		require.Equal(t, map[string]any{"actions": []any{}}, alice.ok(http.MethodGet, rule+"/actions", nil))
		alice.ok(http.MethodDelete, rule, nil)
		require.Equal(t, http.StatusNotFound, alice.do(g.sync.handler, http.MethodGet, rule, nil).status)
		require.Equal(t, "M_INVALID_PARAM", alice.do(g.sync.handler, http.MethodGet, "/pushrules/global/bad/x", nil).object()["errcode"])
		got := result{t, alice.ok(http.MethodGet, "/user/"+alice.user+"/account_data/m.push_rules", nil)}
		require.NotEmpty(t, got.list("global", "underride"))
	})
}

func TestFilters(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		room := alice.create(nil)
		alice.say(room, "hidden")
		path := "/user/" + alice.user + "/filter"
		body := `{"room":{"timeline":{"types":["m.room.name"]}}}`
		id := alice.ok(http.MethodPost, path, body)["filter_id"].(string)
		require.Equal(t, id, alice.ok(http.MethodPost, path, body)["filter_id"])
		require.Equal(t, []any{"m.room.name"}, result{t, alice.ok(http.MethodGet, path+"/"+id, nil)}.get("room", "timeline", "types").v)
		alice.filter = id
		require.Empty(t, alice.sync().join(room).types("timeline"))
		require.Equal(t, http.StatusNotFound, alice.do(g.sync.handler, http.MethodGet, path+"/none", nil).status)
		require.Equal(t, "M_INVALID_PARAM", alice.do(g.sync.handler, http.MethodGet, "/sync?filter=none", nil).object()["errcode"])
		require.Equal(t, http.StatusForbidden, g.client("bob").do(g.sync.handler, http.MethodGet, path+"/"+id, nil).status)
		require.Equal(t, "M_BAD_JSON", alice.do(g.sync.handler, http.MethodPost, path, `{"room":1}`).object()["errcode"])
	})
}

func TestEventFieldsAndFormat(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice := g.client("alice")
		room := alice.create(nil)
		alice.sync()
		alice.say(room, "short")
		gap()
		alice.filter = `{"event_fields":["type","content.body"]}`
		e := alice.at(alice.since, 0).join(room).list("timeline", "events")[0]
		require.Equal(t, map[string]any{"type": "m.room.message", "content": map[string]any{"body": "short"}}, e.v)
		alice.filter = `{"event_format":"federation"}`
		e = alice.at(alice.since, 0).join(room).list("timeline", "events")[0]
		require.True(t, e.has("auth_events"), e.v)
	})
}

func TestTyping(t *testing.T) {
	g := onSQLite(t)
	alice, bob := g.client("alice"), g.client("bob")
	room := alice.create(nil)
	bob.join(room)
	bob.sync()
	done := make(chan result, 1)
	go func() { done <- bob.poll(20 * time.Second) }()
	path := "/rooms/" + esc(room) + "/typing/"
	alice.ok(http.MethodPut, path+alice.user, map[string]any{"typing": true, "timeout": 300})
	typing := (<-done).join(room).list("ephemeral", "events")
	require.Equal(t, []any{alice.user}, typing[0].get("content", "user_ids").v)
	require.False(t, typing[0].has("room_id"))
	require.False(t, bob.at(bob.since, 0).has("rooms"), "who types is told once")
	r := bob.poll(20 * time.Second)
	require.Empty(t, r.join(room).list("ephemeral", "events")[0].list("content", "user_ids"), "typing ends by itself")

	require.Equal(t, http.StatusForbidden, alice.do(g.sync.handler, http.MethodPut, path+bob.user, map[string]any{"typing": true}).status)
	carol := g.client("carol")
	require.Equal(t, http.StatusForbidden, carol.do(g.sync.handler, http.MethodPut, path+carol.user, map[string]any{"typing": true}).status)
	require.Equal(t, "M_MISSING_PARAM", alice.do(g.sync.handler, http.MethodPut, path+alice.user, map[string]any{}).object()["errcode"])
}

func TestTransactionIDGoesToItsDeviceOnly(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, other := g.client("alice"), g.client("alice")
		other.device = "OTHER"
		room := alice.create(nil)
		alice.sync()
		other.sync()
		alice.say(room, "mine")
		gap()
		require.NotEmpty(t, alice.sync().join(room).list("timeline", "events")[0].str("unsigned", "transaction_id"))
		require.Empty(t, other.sync().join(room).list("timeline", "events")[0].str("unsigned", "transaction_id"))
	})
}

func TestRedactionShowsAtOnce(t *testing.T) {
	inMemoryAndNot(t, func(t *testing.T, g *rig, gap func()) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		bob.sync()
		id := alice.say(room, "oops")
		alice.room(http.MethodPut, "/rooms/"+esc(room)+"/redact/"+esc(id)+"/redact1", map[string]any{"reason": "typo"})
		gap()
		events := bob.sync().join(room).list("timeline", "events")
		require.Len(t, events, 2)
		require.Equal(t, map[string]any{}, events[0].get("content").v)
		require.Equal(t, "typo", events[0].str("unsigned", "redacted_because", "content", "reason"))
		require.Equal(t, id, events[1].str("redacts"))
	})
}
