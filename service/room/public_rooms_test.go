package room_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/room"
)

// publish makes a room of alice's in the directory, with members besides her.
func (g *rig) publish(body map[string]any, members ...string) string {
	g.t.Helper()
	all := map[string]any{"preset": "public_chat", "visibility": "public"}
	for k, v := range body {
		all[k] = v
	}
	id := g.createWith("alice", all)
	for _, m := range members {
		g.act(m, id, "join")
	}
	return id
}

func TestPublicRoomsTellEverything(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		id := g.publish(map[string]any{
			"name": "Wild geese", "room_alias_name": "geese", "creation_content": map[string]any{"type": "m.space"},
			"initial_state": []any{
				state("m.room.avatar", "", map[string]any{"url": "mxc://hs/goose"}),
				state("m.room.topic", "", map[string]any{
					"topic":   "letters",
					"m.topic": map[string]any{"m.text": []any{map[string]any{"mimetype": "text/html", "body": "<b>l</b>"}, map[string]any{"body": "Letters"}}},
				}),
				state("m.room.history_visibility", "", map[string]any{"history_visibility": "world_readable"}),
				state("m.room.guest_access", "", map[string]any{"guest_access": "can_join"}),
				state("m.room.encryption", "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"}),
			},
		}, "bob")
		want := map[string]any{
			"room_id": id, "num_joined_members": 2.0, "name": "Wild geese", "topic": "Letters", "canonical_alias": "#geese:hs",
			"avatar_url": "mxc://hs/goose", "join_rule": "public", "room_type": "m.space", "world_readable": true, "guest_can_join": true,
		}
		for _, a := range []answer{g.found("bob", nil), g.ask(http.MethodGet, "bob", "v3/publicRooms", nil), g.ask(http.MethodGet, "", "v3/publicRooms", nil)} {
			require.Equal(t, map[string]any{"chunk": []any{want}, "total_room_count_estimate": 1.0}, a.object())
		}
		bare := g.publish(map[string]any{"preset": "private_chat"})
		require.Equal(t, map[string]any{
			"room_id": bare, "num_joined_members": 1.0, "join_rule": "invite", "world_readable": false, "guest_can_join": true,
		}, g.found("bob", nil).list("chunk")[1])
	})
}

func TestPublicRoomsFollowTheState(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		first, second := g.publish(map[string]any{"name": "one"}), g.publish(map[string]any{"name": "two"}, "bob")
		g.createWith("alice", map[string]any{"name": "not listed", "preset": "public_chat"})
		ids := func() []string { return g.found("carol", nil).field("chunk", "room_id") }
		require.Equal(t, []string{second, first}, ids())
		for _, m := range []string{"bob", "carol"} {
			g.act(m, first, "join")
		}
		require.Equal(t, []string{first, second}, ids(), "who has more members comes first")

		name := g.setState("alice", first, "m.room.name", "", map[string]any{"name": "secret plans"})
		g.setState("alice", first, "m.room.join_rules", "", map[string]any{"join_rule": "knock"})
		require.Equal(t, "secret plans", g.found("bob", nil).list("chunk")[0]["name"])
		require.Equal(t, "knock", g.found("bob", nil).list("chunk")[0]["join_rule"])
		path := roomPath(first, "redact", name, "t")
		g.ok(http.MethodPut, "alice", path, map[string]any{})
		require.NotContains(t, g.found("bob", nil).list("chunk")[0], "name", "what was redacted is gone")
		require.Empty(t, g.found("bob", map[string]any{"filter": map[string]any{"generic_search_term": "secret"}}).list("chunk"))

		hide := func(id, visibility string) {
			g.ok(http.MethodPut, "alice", "/directory/list/room/"+escaped(id), map[string]any{"visibility": visibility})
		}
		hide(first, "private")
		require.Equal(t, []string{second}, ids())
		g.act("bob", first, "leave")
		require.Equal(t, []string{second}, ids(), "a member does not put it back")
		hide(first, "public")
		require.ElementsMatch(t, []string{first, second}, ids())
		for _, m := range []string{"alice", "bob"} {
			g.act(m, second, "leave")
		}
		require.Equal(t, []string{first}, ids(), "nobody is in the other")
		require.EqualValues(t, 1, g.found("bob", nil).object()["total_room_count_estimate"])
	})
}

func TestPublicRoomsSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		names := map[string]string{}
		for _, r := range []struct{ name, topic, alias, kind string }{
			{"Straße der Gänse", "", "", ""},
			{"ΟΔΟΣ", "the way", "", "m.space"},
			{"鸿雁传书", "100% _geese_", "hongyan", ""},
			{"plain", "line\none\ttwo", "", "org.example.kind"},
		} {
			body := map[string]any{"name": r.name, "topic": r.topic, "creation_content": map[string]any{}}
			if r.kind != "" {
				body["creation_content"] = map[string]any{"type": r.kind}
			}
			if r.alias != "" {
				body["room_alias_name"] = r.alias
			}
			names[g.publish(body)] = r.name
		}
		for _, c := range []struct {
			name   string
			filter map[string]any
			want   []string
		}{
			{"all", map[string]any{}, []string{"Straße der Gänse", "ΟΔΟΣ", "鸿雁传书", "plain"}},
			{"case", map[string]any{"generic_search_term": "GÄNSE"}, []string{"Straße der Gänse"}},
			{"final sigma", map[string]any{"generic_search_term": "οδος"}, []string{"ΟΔΟΣ"}},
			{"no alphabet", map[string]any{"generic_search_term": " 鸿雁 "}, []string{"鸿雁传书"}},
			{"alias", map[string]any{"generic_search_term": "#HongYan:hs"}, []string{"鸿雁传书"}},
			{"topic", map[string]any{"generic_search_term": "Way"}, []string{"ΟΔΟΣ"}},
			{"no pattern", map[string]any{"generic_search_term": "100%"}, []string{"鸿雁传书"}},
			{"no pattern either", map[string]any{"generic_search_term": "l_in"}, nil},
			{"white space", map[string]any{"generic_search_term": "line one  two"}, []string{"plain"}},
			{"not across fields", map[string]any{"generic_search_term": "plain\n\nline"}, nil},
			{"nothing", map[string]any{"generic_search_term": "swan"}, nil},
			{"null term", map[string]any{"generic_search_term": nil, "room_types": nil}, []string{"Straße der Gänse", "ΟΔΟΣ", "鸿雁传书", "plain"}},
			{"spaces", map[string]any{"room_types": []any{"m.space"}}, []string{"ΟΔΟΣ"}},
			{"without a type", map[string]any{"room_types": []any{nil}}, []string{"Straße der Gänse", "鸿雁传书"}},
			{"two types", map[string]any{"room_types": []any{nil, "org.example.kind"}}, []string{"Straße der Gänse", "鸿雁传书", "plain"}},
			{"type and term", map[string]any{"room_types": []any{nil}, "generic_search_term": "plain"}, nil},
		} {
			var got []string
			a := g.found("bob", map[string]any{"filter": c.filter})
			for _, id := range a.field("chunk", "room_id") {
				got = append(got, names[id])
			}
			require.ElementsMatch(t, c.want, got, c.name)
			require.EqualValues(t, 4, a.object()["total_room_count_estimate"])
		}
		require.Empty(t, g.found("bob", map[string]any{"third_party_instance_id": "irc"}).list("chunk"))
		require.Len(t, g.found("bob", map[string]any{"include_all_networks": true}).list("chunk"), 4)
	})
}

// TestPublicRoomsPages goes through the directory in pages, to its end and back, while rooms come and go.
func TestPublicRoomsPages(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for i := range 7 {
			g.publish(nil, slices.Repeat([]string{"bob"}, i%2)...)
		}
		all := g.found("bob", nil).field("chunk", "room_id")
		require.Len(t, all, 7)
		require.True(t, slices.IsSorted(all[:3]) && slices.IsSorted(all[3:]), "equal ones by id")
		get := func(token string) answer {
			a := g.ask(http.MethodGet, "bob", "v3/publicRooms?limit=3&since="+url.QueryEscape(token), nil)
			require.Equal(t, 200, a.status, string(a.body))
			return a
		}
		one := get("")
		two := get(one.str("next_batch"))
		three := get(two.str("next_batch"))
		require.Equal(t, all[:3], one.field("chunk", "room_id"))
		require.Equal(t, all[3:6], two.field("chunk", "room_id"))
		require.Equal(t, all[6:], three.field("chunk", "room_id"))
		require.Empty(t, one.str("prev_batch"))
		require.Empty(t, three.str("next_batch"))
		back := get(three.str("prev_batch"))
		require.Equal(t, all[3:6], back.field("chunk", "room_id"))
		require.Equal(t, all[6:], get(back.str("next_batch")).field("chunk", "room_id"))
		first := get(back.str("prev_batch"))
		require.Equal(t, all[:3], first.field("chunk", "room_id"))
		require.Empty(t, first.str("prev_batch"))
		require.Equal(t, all[3:6], get(first.str("next_batch")).field("chunk", "room_id"))

		g.publish(nil, "bob", "carol")
		g.ok(http.MethodPut, "alice", "/directory/list/room/"+escaped(all[2]), map[string]any{"visibility": "private"})
		require.Equal(t, all[3:6], get(one.str("next_batch")).field("chunk", "room_id"), "the token stands where it stood")
		require.Equal(t, 1, len(g.found("bob", map[string]any{"limit": 1}).list("chunk")))
	})
}

func TestPublicRoomsRefusals(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		token := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
		const path, post = "v3/publicRooms", http.MethodPost
		cases := []refused{
			{name: "limit 0", path: path + "?limit=0", status: 400, code: "M_INVALID_PARAM"},
			{name: "limit text", path: path + "?limit=x", status: 400, code: "M_INVALID_PARAM"},
			{name: "NUL in since", path: path + "?since=%00", status: 400, code: "M_INVALID_PARAM"},
			{name: "other server", path: path + "?server=elsewhere.org", status: 404, code: "M_NOT_FOUND"},
			{name: "case of the server", path: path + "?server=HS", status: 404, code: "M_NOT_FOUND"},
			{name: "no server", path: path + "?server=%20", status: 400, code: "M_INVALID_PARAM"},
			{name: "own server", path: path + "?server=hs", status: 200},
			{name: "large limit", path: path + "?limit=99999999999", status: 200},
			{name: "other server by POST", method: post, user: "bob", path: path + "?server=elsewhere.org", status: 404, code: "M_NOT_FOUND"},
			{name: "no JSON", method: post, user: "bob", path: path, body: `{`, status: 400, code: "M_NOT_JSON"},
			{name: "no object", method: post, user: "bob", path: path, body: `[]`, status: 400, code: "M_BAD_JSON"},
			{name: "limit 0 by POST", method: post, user: "bob", path: path, body: `{"limit":0}`, status: 400, code: "M_INVALID_PARAM"},
			{name: "limit of a type", method: post, user: "bob", path: path, body: `{"limit":"3"}`, status: 400, code: "M_BAD_JSON"},
			{name: "filter of a type", method: post, user: "bob", path: path, body: `{"filter":3}`, status: 400, code: "M_BAD_JSON"},
			{name: "types of a type", method: post, user: "bob", path: path, body: `{"filter":{"room_types":[3]}}`, status: 400, code: "M_BAD_JSON"},
			{name: "both networks", method: post, user: "bob", path: path, body: `{"include_all_networks":true,"third_party_instance_id":"irc"}`, status: 400, code: "M_INVALID_PARAM"},
			{name: "empty body", method: post, user: "bob", path: path, status: 200},
		}
		for _, since := range []string{
			"x", "%", strings.Repeat("A", 5000), token(`{}`), token(`{"n":1,"r":"x"}`), token(`{"n":0,"r":"!a:hs"}`), token(`{"n":1,"r":"!a:hs","z":1}`),
			token(`{"n":1,"r":"!a\u0000:hs"}`), token(`{"n":1e9,"r":"!a:hs"`), token(`{"n":1,"r":"!a:hs"} {}`), token("\xff"), token(`null`),
		} {
			cases = append(cases, refused{
				name: "since " + since, path: path + "?since=" + url.QueryEscape(since), status: 400, code: "M_INVALID_PARAM",
			})
		}
		g.refuse(cases)
	})
}

// TestLongTypesOfRooms makes rooms whose types no index could hold whole.
func TestLongTypesOfRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		random := rand.New(rand.NewPCG(1, 2))
		letters := make([]byte, 20_000)
		for i := range letters {
			letters[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[random.IntN(36)]
		}
		for _, kind := range []string{string(letters), strings.Repeat("鸿", 5000)} {
			id := g.publish(map[string]any{"creation_content": map[string]any{"type": kind}, "topic": kind})
			listed := g.found("bob", map[string]any{"filter": map[string]any{"room_types": []string{kind}}}).list("chunk")
			require.Len(t, listed, 1)
			require.Equal(t, id, listed[0]["room_id"])
			for key, most := range map[string]int{"room_type": 1024, "topic": 4096} {
				told := listed[0][key].(string)
				require.True(t, strings.HasPrefix(kind, told) && len(told) > most-4 && len(told) <= most, "%s has %d bytes", key, len(told))
			}
		}
	})
}

// TestLargeDirectory has the rooms of a large directory counted now and then.
func TestLargeDirectory(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		total := func() any { return g.found("bob", nil).object()["total_room_count_estimate"] }
		g.list(999)
		require.EqualValues(t, 999, total())
		g.publish(nil)
		require.EqualValues(t, 1000, total())
		g.publish(nil)
		require.EqualValues(t, 1001, total())
		g.publish(nil)
		require.EqualValues(t, 1001, total(), "it was counted just now")
	})
}

func TestClosedDirectory(t *testing.T) {
	cfg := room.Default()
	cfg.OpenDirectory = false
	g := newWorldWith(t, databases["sqlite"](t), nil, cfg)
	id := g.publish(nil)
	g.refuse([]refused{
		{name: "directory", path: "v3/publicRooms", status: 401, code: "M_MISSING_TOKEN"},
		{name: "summary", path: "v1/room_summary/" + escaped(id), status: 401, code: "M_MISSING_TOKEN"},
		{name: "no room", path: "v1/room_summary/!x:hs", status: 401, code: "M_MISSING_TOKEN"},
	})
	require.Len(t, g.ask(http.MethodGet, "bob", "v3/publicRooms", nil).list("chunk"), 1)
	g.to("alice", id, "ban", "bob")
	require.Equal(t, 404, g.ask(http.MethodGet, "bob", "v1/room_summary/"+escaped(id), nil).status, "there is nothing for everybody")
}

// TestPublicRoomsOfTwoInstances reads at one instance what was written at the other.
func TestPublicRoomsOfTwoInstances(t *testing.T) {
	for name, open := range databases {
		if name == "sqlite" {
			continue // one process alone
		}
		t.Run(name, func(t *testing.T) {
			url := open(t)
			a := newWorld(t, url, nil)
			b := newWorld(t, url, a)
			id := a.publish(map[string]any{"name": "before"})
			b.act("bob", id, "join")
			require.EqualValues(t, 2, a.found("bob", nil).list("chunk")[0]["num_joined_members"])
			for i := range 5 {
				a.setState("alice", id, "m.room.name", "", map[string]any{"name": fmt.Sprint("a", i)})
				require.Equal(t, fmt.Sprint("a", i), b.found("bob", nil).list("chunk")[0]["name"])
				b.act(fmt.Sprint("u", i), id, "join")
				a.setState("alice", id, "m.room.topic", "", map[string]any{"topic": fmt.Sprint("t", i)})
				listed := b.found("bob", nil).list("chunk")[0]
				require.Equal(t, fmt.Sprint("a", i), listed["name"])
				require.Equal(t, fmt.Sprint("t", i), listed["topic"])
				require.EqualValues(t, 3+i, listed["num_joined_members"])
			}
		})
	}
}
