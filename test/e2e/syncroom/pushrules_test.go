package syncroom_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ruleIDs are the ids of a user's rules of a kind, most important first, without the predefined ones.
func (c *client) ruleIDs(kind string) []string {
	c.g.t.Helper()
	var ids []string
	for _, rule := range (result{c.g.t, c.ok(http.MethodGet, "/pushrules/global/", nil)}).list(kind) {
		if rule.get("default").v == false {
			ids = append(ids, rule.str("rule_id"))
		}
	}
	return ids
}

func TestPushRulesOfANewUser(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		all := result{t, alice.ok(http.MethodGet, "/pushrules/", nil)}
		require.Equal(t, all.get("global").v, any(alice.ok(http.MethodGet, "/pushrules/global/", nil)))
		for _, kind := range []string{"override", "content", "room", "sender", "underride"} {
			list, ok := all.get("global", kind).v.([]any)
			require.True(t, ok, kind)
			for _, rule := range list {
				r := result{t, rule}
				require.Equal(t, true, r.get("default").v, kind)
				require.Equal(t, rule, any(alice.ok(http.MethodGet, "/pushrules/global/"+kind+"/"+esc(r.str("rule_id")), nil)), "each is served by itself")
				require.Equal(t, map[string]any{"actions": r.get("actions").v}, alice.ok(http.MethodGet, "/pushrules/global/"+kind+"/"+r.str("rule_id")+"/actions", nil))
				require.Equal(t, map[string]any{"enabled": r.get("enabled").v}, alice.ok(http.MethodGet, "/pushrules/global/"+kind+"/"+r.str("rule_id")+"/enabled", nil))
			}
		}
		require.Equal(t, ".m.rule.master", all.list("global", "override")[0].str("rule_id"))
		require.Equal(t, any(false), all.list("global", "override")[0].get("enabled").v)
	})
}

func TestPushRuleOfEveryKind(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		for kind, c := range map[string]struct {
			id   string
			body map[string]any
			want map[string]any
		}{
			"override": {
				"own", map[string]any{"actions": []any{"notify", "dont_notify"}, "conditions": []any{map[string]any{"kind": "event_match", "key": "type", "pattern": "m.*"}}, "pattern": "x"},
				map[string]any{"conditions": []any{map[string]any{"kind": "event_match", "key": "type", "pattern": "m.*"}}, "actions": []any{"notify"}},
			},
			"underride": {
				"own", map[string]any{"actions": []any{"coalesce", map[string]any{"set_tweak": "sound", "value": "bing"}}},
				map[string]any{"conditions": []any{}, "actions": []any{map[string]any{"set_tweak": "sound", "value": "bing"}}},
			},
			"content": {"nocake", map[string]any{"actions": []any{}, "pattern": "cake*lie"}, map[string]any{"pattern": "cake*lie", "actions": []any{}}},
			"room":    {"!room:hs", map[string]any{"actions": []any{}}, map[string]any{"actions": []any{}}},
			"sender":  {"@bob:hs", map[string]any{"actions": []any{map[string]any{"set_tweak": "highlight"}}}, map[string]any{"actions": []any{map[string]any{"set_tweak": "highlight"}}}},
		} {
			path := "/pushrules/global/" + kind + "/" + esc(c.id)
			require.Equal(t, map[string]any{}, alice.ok(http.MethodPut, path, c.body), kind)
			c.want["rule_id"], c.want["enabled"], c.want["default"] = c.id, true, false
			require.Equal(t, c.want, alice.ok(http.MethodGet, path, nil), kind)
			alice.ok(http.MethodPut, path+"/enabled", `{ "enabled": false }`)
			alice.ok(http.MethodPut, path+"/actions", `{ "actions": [ "notify", { "set_tweak": "highlight", "value": false } ] }`)
			c.want["enabled"], c.want["actions"] = false, []any{"notify", map[string]any{"set_tweak": "highlight", "value": false}}
			require.Equal(t, c.want, alice.ok(http.MethodGet, path, nil), kind)
			alice.ok(http.MethodPut, path, c.body)
			require.Equal(t, map[string]any{"enabled": false}, alice.ok(http.MethodGet, path+"/enabled", nil), "%s: what is disabled stays disabled", kind)
			require.Equal(t, map[string]any{}, alice.ok(http.MethodDelete, path, nil), kind)
			require.Equal(t, http.StatusNotFound, alice.do(g.sync.handler, http.MethodGet, path, nil).status, kind)
		}
		for _, rule := range []string{"override/.m.rule.master", "content/.m.rule.contains_user_name", "underride/.m.rule.message"} {
			alice.ok(http.MethodPut, "/pushrules/global/"+rule+"/actions", map[string]any{"actions": []any{"notify"}})
			alice.ok(http.MethodPut, "/pushrules/global/"+rule+"/enabled", map[string]any{"enabled": true})
			got := result{t, alice.ok(http.MethodGet, "/pushrules/global/"+rule, nil)}
			require.Equal(t, []any{true, true, []any{"notify"}}, []any{got.get("default").v, got.get("enabled").v, got.get("actions").v}, rule)
		}
	})
}

func TestPushRuleOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		put := func(id, query string) {
			t.Helper()
			alice.ok(http.MethodPut, "/pushrules/global/content/"+id+query, map[string]any{"pattern": id, "actions": []any{}})
		}
		for _, step := range []struct{ id, query, want string }{
			{"a", "", "a"},
			{"b", "", "b a"},
			{"c", "?after=b", "b c a"},
			{"d", "?before=a", "b c d a"},
			{"e", "?before=b&after=a", "e b c d a"},
			{"c", "", "e b c d a"},
			{"a", "?before=e", "a e b c d"},
			{"a", "?after=d", "e b c d a"},
		} {
			put(step.id, step.query)
			require.Equal(t, strings.Fields(step.want), alice.ruleIDs("content"), step)
		}
	})
}

func TestPushRuleErrors(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice := g.client("alice")
		const base = "/pushrules/global/"
		alice.ok(http.MethodPut, base+"content/own", map[string]any{"pattern": "x", "actions": []any{}})
		rule := map[string]any{"pattern": "x", "actions": []any{}}
		for _, c := range []struct {
			method, path string
			body         any
			status       int
			code         string
		}{
			{"GET", "content/none", nil, 404, "M_NOT_FOUND"},
			{"GET", "override/own", nil, 404, "M_NOT_FOUND"},
			{"GET", "content/.m.rule.master", nil, 404, "M_NOT_FOUND"},
			{"GET", "content/none/enabled", nil, 404, "M_NOT_FOUND"},
			{"GET", "content/none/actions", nil, 404, "M_NOT_FOUND"},
			{"GET", "odd/own", nil, 400, "M_INVALID_PARAM"},
			{"DELETE", "content/none", nil, 404, "M_NOT_FOUND"},
			{"DELETE", "override/.m.rule.master", nil, 400, "M_INVALID_PARAM"},
			{"DELETE", "odd/own", nil, 400, "M_INVALID_PARAM"},
			{"PUT", "content/none/enabled", map[string]any{"enabled": true}, 404, "M_NOT_FOUND"},
			{"PUT", "underride/.m.rule.master/enabled", map[string]any{"enabled": true}, 404, "M_NOT_FOUND"},
			{"PUT", "content/own/enabled", map[string]any{}, 400, "M_MISSING_PARAM"},
			{"PUT", "content/own/enabled", map[string]any{"enabled": "yes"}, 400, "M_BAD_JSON"},
			{"PUT", "content/own/enabled", map[string]any{"Enabled": true}, 400, "M_MISSING_PARAM"},
			{"PUT", "content/own/enabled", map[string]any{"enabled": nil}, 400, "M_BAD_JSON"},
			{"PUT", "content/own/enabled", []any{}, 400, "M_BAD_JSON"},
			{"PUT", "content/own/enabled", "{", 400, "M_NOT_JSON"},
			{"PUT", "content/none/actions", map[string]any{"actions": []any{}}, 404, "M_NOT_FOUND"},
			{"PUT", "content/own/actions", map[string]any{}, 400, "M_MISSING_PARAM"},
			{"PUT", "content/own/actions", map[string]any{"actions": "notify"}, 400, "M_BAD_JSON"},
			{"PUT", "content/own/actions", map[string]any{"actions": []any{"dance"}}, 400, "M_INVALID_PARAM"},
			{"PUT", "content/own/actions", map[string]any{"actions": []any{map[string]any{"set_tweak": 1}}}, 400, "M_BAD_JSON"},
			{"PUT", "content/own/actions", "nonsense", 400, "M_NOT_JSON"},
			{"PUT", "odd/own", rule, 400, "M_INVALID_PARAM"},
			{"PUT", "content/.own", rule, 400, "M_INVALID_PARAM"},
			{"PUT", "content/a%2Fb", rule, 400, "M_INVALID_PARAM"},
			{"PUT", "content/a%5Cb", rule, 400, "M_INVALID_PARAM"},
			{"PUT", "content/" + strings.Repeat("x", 256), rule, 400, "M_INVALID_PARAM"},
			{"PUT", "room/nonsense", rule, 400, "M_INVALID_PARAM"},
			{"PUT", "sender/nonsense", rule, 400, "M_INVALID_PARAM"},
			{"PUT", "content/new?before=none", rule, 400, "M_UNKNOWN"},
			{"PUT", "content/new?after=none", rule, 400, "M_UNKNOWN"},
			{"PUT", "content/new?before=.m.rule.contains_user_name", rule, 400, "M_UNKNOWN"},
			{"PUT", "content/new", map[string]any{"actions": []any{}}, 400, "M_MISSING_PARAM"},
			{"PUT", "content/new", map[string]any{"pattern": 1, "actions": []any{}}, 400, "M_BAD_JSON"},
			{"PUT", "content/new", map[string]any{"pattern": "x"}, 400, "M_MISSING_PARAM"},
			{"PUT", "content/new", "[]", 400, "M_BAD_JSON"},
			{"PUT", "content/new", "", 400, "M_MISSING_PARAM"},
			{"PUT", "content/new", "{\"", 400, "M_NOT_JSON"},
			{"PUT", "override/new", map[string]any{"actions": []any{}, "conditions": "x"}, 400, "M_BAD_JSON"},
			{"PUT", "override/new", map[string]any{"actions": []any{}, "conditions": []any{map[string]any{}}}, 400, "M_BAD_JSON"},
			{"PUT", "override/new", map[string]any{"actions": []any{}, "conditions": []any{"x"}}, 400, "M_BAD_JSON"},
			{"PUT", "override/new", map[string]any{"actions": []any{1}}, 400, "M_BAD_JSON"},
		} {
			a := alice.do(g.sync.handler, c.method, base+c.path, c.body)
			what := c.method + " " + c.path
			require.Equal(t, c.status, a.status, "%s %v: %s", what, c.body, a.body)
			require.Equal(t, c.code, a.object()["errcode"], "%s %v: %s", what, c.body, a.body)
		}
		require.Equal(t, []string{"own"}, alice.ruleIDs("content"), "what was refused has changed nothing")
		require.Empty(t, alice.ruleIDs("override"))
	})
}

// A change of the rules wakes a poll, and counts follow it at once: the rules as they are now say what is unread.
func TestUnreadFollowsTheRules(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.client("alice"), g.client("bob")
		room := alice.create(nil)
		bob.join(room)
		alice.say(room, "one cake")
		alice.say(room, "two")
		quiet := alice.create(nil)
		bob.join(quiet)
		require.Equal(t, [2]int{2, 0}, bob.sync().join(room).unread())
		other := *bob // another device
		told := [2]int{2, 0}
		for _, step := range []struct {
			method, path string
			body         any
			want         [2]int
		}{
			{"PUT", "content/cake", map[string]any{"pattern": "cake", "actions": []any{"notify", map[string]any{"set_tweak": "highlight"}}}, [2]int{2, 1}},
			{"PUT", "room/" + esc(room), map[string]any{"actions": []any{}}, [2]int{1, 1}},
			{"PUT", "content/cake/enabled", map[string]any{"enabled": false}, [2]int{0, 0}},
			{"DELETE", "room/" + esc(room), nil, [2]int{2, 0}},
			{"PUT", "override/.m.rule.master/enabled", map[string]any{"enabled": true}, [2]int{0, 0}},
			{"PUT", "override/.m.rule.master/enabled", map[string]any{"enabled": false}, [2]int{2, 0}},
			{"PUT", "underride/.m.rule.message/actions", map[string]any{"actions": []any{"notify", map[string]any{"set_tweak": "highlight"}}}, [2]int{2, 0}},
			{"PUT", "underride/.m.rule.room_one_to_one/enabled", map[string]any{"enabled": false}, [2]int{2, 2}},
		} {
			bob.ok(step.method, "/pushrules/global/"+step.path, step.body)
			for _, c := range []*client{bob, &other} {
				r := c.sync()
				require.Equal(t, []string{"m.push_rules"}, r.types("account_data"), step.path)
				require.Equal(t, step.want != told, r.has("rooms", "join", room), step.path)
				if step.want != told {
					require.Equal(t, step.want, r.join(room).unread(), step.path)
				}
				require.False(t, r.has("rooms", "join", quiet))
			}
			told = step.want
			require.Equal(t, step.want, bob.at("", 0).join(room).unread(), step.path)
			require.False(t, bob.sync().has("rooms"), "told once")
		}
		bob.ok(http.MethodPut, "/user/"+esc(bob.user)+"/account_data/m.ignored_user_list", map[string]any{"ignored_users": map[string]any{alice.user: map[string]any{}}})
		require.Equal(t, [2]int{0, 0}, bob.sync().join(room).unread())
	})
}
