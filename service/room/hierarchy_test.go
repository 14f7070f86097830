package room_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (g *rig) hierarchy(user, roomID, query string) answer {
	g.t.Helper()
	a := g.ask(http.MethodGet, user, "v1/rooms/"+escaped(roomID)+"/hierarchy?"+query, nil)
	require.Equal(g.t, http.StatusOK, a.status, string(a.body))
	return a
}

// space makes a public space of alice's with children in this order.
func (g *rig) space(children ...string) string {
	g.t.Helper()
	id := g.createWith("alice", map[string]any{"preset": "public_chat", "creation_content": map[string]any{"type": "m.space"}})
	for i, c := range children {
		g.child(id, c, map[string]any{"via": []string{"hs"}, "order": fmt.Sprintf("%03d", i)})
	}
	return id
}

func (g *rig) child(space, roomID string, content map[string]any) {
	g.t.Helper()
	g.setState("alice", space, "m.space.child", roomID, content)
}

func (g *rig) halls(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = g.createWith("alice", map[string]any{"preset": "public_chat", "name": fmt.Sprint("room ", i)})
	}
	return ids
}

func TestHierarchy(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		r := g.halls(4)
		deep := g.space(r[2])
		inner := g.space(r[1], deep)
		root := g.space(r[0], inner, r[3], r[1])
		g.child(deep, root, map[string]any{"via": []string{"hs"}}) // in a circle
		g.child(root, root, map[string]any{"via": []string{"hs"}})
		// A room that is no space has no children, whatever it says.
		g.child(r[0], r[3], map[string]any{"via": []string{"hs"}})
		all := []string{root, r[0], inner, r[1], deep, r[2], r[3]}
		tree := g.hierarchy("bob", root, "")
		require.Equal(t, all, tree.field("rooms", "room_id"))
		require.Empty(t, tree.str("next_batch"))
		rooms := tree.list("rooms")
		require.Equal(t, "room 0", rooms[1]["name"])
		require.Equal(t, []any{}, rooms[1]["children_state"])
		require.Equal(t, "12", rooms[1]["room_version"])
		require.Equal(t, "m.space", rooms[2]["room_type"])
		first := rooms[2]["children_state"].([]any)[0].(map[string]any)
		require.Positive(t, first["origin_server_ts"])
		delete(first, "origin_server_ts")
		require.Equal(t, map[string]any{
			"type": "m.space.child", "state_key": r[1], "sender": "@alice:hs",
			"content": map[string]any{"via": []any{"hs"}, "order": "000"},
		}, first)
		for depth, want := range [][]string{{root}, {root, r[0], inner, r[3], r[1]}, {root, r[0], inner, r[1], deep, r[3]}, all} {
			a := g.hierarchy("bob", root, fmt.Sprint("max_depth=", depth))
			require.Equal(t, want, a.field("rooms", "room_id"), "depth %d", depth)
			require.Len(t, a.list("rooms")[0]["children_state"], 5, "a depth cuts no children_state")
		}
	})
}

// What a page tells is bounded in bytes, and children with more than a page can use are none.
func TestHierarchyIsBounded(t *testing.T) {
	g := newRig(t, databases["sqlite"](t))
	halls := g.halls(2)
	root := g.space()
	g.child(root, halls[0], map[string]any{"via": []string{"hs"}})
	g.child(root, halls[1], map[string]any{"via": []string{"hs"}, "org.example.large": strings.Repeat("x", 5000)})
	tree := g.hierarchy("bob", root, "")
	require.Equal(t, []string{root, halls[0]}, tree.field("rooms", "room_id"))
	require.NotContains(t, string(tree.body), "org.example.large")
}

func TestHierarchyOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		r := g.halls(12)
		root := g.space()
		via := []string{"hs"}
		long := strings.Repeat("a", 51)
		for i, content := range []map[string]any{
			{"via": via, "order": "b"}, {"via": via, "order": " "}, {"via": via, "order": "~"}, {"via": via, "order": "aaaa"},
			{"via": via, "order": "B"}, {"via": via, "order": ""}, {"via": via, "order": long[:50]},
			{"via": via}, {"via": via, "order": long}, {"via": via, "order": "\u007f"}, {"via": via, "order": 3}, {"via": via, "order": "ä"},
		} {
			g.child(root, r[i], content)
		}
		want := []string{root}
		for _, i := range []int{5, 1, 4, 3, 6, 0, 2} {
			want = append(want, r[i])
		}
		got := g.hierarchy("bob", root, "").field("rooms", "room_id")
		require.Equal(t, want, got[:8])
		// The others by time, which may be the same, then by id.
		children := g.hierarchy("bob", root, "").list("rooms")[0]["children_state"].([]any)
		require.Len(t, children, 12)
		last, lastID := 0.0, ""
		for i, c := range children[7:] {
			ts, id := c.(map[string]any)["origin_server_ts"].(float64), c.(map[string]any)["state_key"].(string)
			require.True(t, ts > last || ts == last && id > lastID)
			require.Equal(t, id, got[8+i])
			last, lastID = ts, id
		}
		// What is no child is none in children_state either.
		for i, content := range []map[string]any{{}, {"via": "hs"}, {"via": []any{}}, {"via": []any{3}}, {"via": nil}} {
			g.child(root, r[i], content)
		}
		g.child(root, "no-room-id", map[string]any{"via": via})
		a := g.hierarchy("bob", root, "")
		require.Len(t, a.list("rooms"), 8)
		require.Len(t, a.list("rooms")[0]["children_state"], 7)
	})
}

func TestHierarchySuggested(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		r := g.halls(3)
		via := []string{"hs"}
		inner := g.space(r[0])
		g.child(inner, r[1], map[string]any{"via": via, "suggested": true})
		root := g.space(r[2])
		g.child(root, inner, map[string]any{"via": via, "suggested": true})
		g.child(root, "!unknown:elsewhere.org", map[string]any{"via": via, "suggested": true})
		g.child(root, r[0], map[string]any{"via": via, "suggested": "true"})
		a := g.hierarchy("bob", root, "suggested_only=true")
		require.Equal(t, []string{root, inner, r[1]}, a.field("rooms", "room_id"))
		require.Len(t, a.list("rooms")[0]["children_state"], 2, "a room that is not known here is a child all the same")
		require.Len(t, a.list("rooms")[1]["children_state"], 1)
	})
}

func TestHierarchyPages(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		r := g.halls(8)
		inner := g.space(r[2:6]...)
		hidden := g.createWith("alice", map[string]any{"preset": "private_chat"})
		root := g.space(r[0], hidden, r[1], inner, r[6], r[7])
		want := []string{root, r[0], r[1], inner, r[2], r[3], r[4], r[5], r[6], r[7]}
		for limit := 1; limit <= 11; limit++ {
			var got []string
			query := fmt.Sprint("max_depth=4&limit=", limit)
			for from := ""; ; {
				a := g.hierarchy("bob", root, query+"&from="+from)
				page := a.field("rooms", "room_id")
				got = append(got, page...)
				if from = a.str("next_batch"); from == "" {
					break
				}
				require.Len(t, page, limit)
			}
			require.Equal(t, want, got, "limit %d", limit)
		}
		// The tree changes on the way: a page begins behind the last room, or, where that is gone, at its number.
		a := g.hierarchy("bob", root, "limit=3")
		g.child(root, r[0], map[string]any{})
		require.Equal(t, want[3:6], g.hierarchy("bob", root, "limit=3&from="+a.str("next_batch")).field("rooms", "room_id"))
		g.child(root, r[1], map[string]any{})
		require.Equal(t, want[5:8], g.hierarchy("bob", root, "limit=3&from="+a.str("next_batch")).field("rooms", "room_id"))
		end := g.hierarchy("bob", root, "limit=7").str("next_batch")
		g.to("alice", root, "ban", "bob")
		require.Equal(t, 403, g.ask(http.MethodGet, "bob", "v1/rooms/"+escaped(root)+"/hierarchy?from="+end, nil).status)
	})
}

func TestHierarchyRefusals(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		root := g.space(g.halls(3)...)
		other := g.space(g.halls(3)...)
		closed := g.createWith("alice", map[string]any{"preset": "private_chat", "creation_content": map[string]any{"type": "m.space"}})
		path := "v1/rooms/" + escaped(root) + "/hierarchy?"
		token := g.hierarchy("bob", root, "limit=2&max_depth=3").str("next_batch")
		cases := []refused{
			{name: "closed", path: "v1/rooms/" + escaped(closed) + "/hierarchy", status: 403, code: "M_FORBIDDEN"},
			{name: "closed, with more wrong", path: "v1/rooms/" + escaped(closed) + "/hierarchy?limit=x", status: 403, code: "M_FORBIDDEN"},
			{name: "unknown", path: "v1/rooms/!nobody:hs/hierarchy", status: 403, code: "M_FORBIDDEN"},
			{name: "no room id", path: "v1/rooms/geese/hierarchy", status: 403, code: "M_FORBIDDEN"},
			{name: "limit 0", path: path + "limit=0", status: 400, code: "M_INVALID_PARAM"},
			{name: "limit text", path: path + "limit=many", status: 400, code: "M_INVALID_PARAM"},
			{name: "negative depth", path: path + "max_depth=-1", status: 400, code: "M_INVALID_PARAM"},
			{name: "suggested_only", path: path + "suggested_only=1", status: 400, code: "M_INVALID_PARAM"},
			{name: "another depth", path: path + "max_depth=4&from=" + token, status: 400, code: "M_INVALID_PARAM"},
			{name: "no depth", path: path + "from=" + token, status: 400, code: "M_INVALID_PARAM"},
			{name: "another suggested_only", path: path + "max_depth=3&suggested_only=true&from=" + token, status: 400, code: "M_INVALID_PARAM"},
			{name: "another room", path: "v1/rooms/" + escaped(other) + "/hierarchy?max_depth=3&from=" + token, status: 400, code: "M_INVALID_PARAM"},
			{name: "the same", path: path + "max_depth=3&from=" + token, status: 200},
		}
		for _, from := range []string{"x", "{}", `{"r":"` + root + `","d":50,"n":-1,"l":"!a"}`, `{"r":"` + root + `","d":50,"n":1}`} {
			from = base64.RawURLEncoding.EncodeToString([]byte(from))
			cases = append(cases, refused{name: from, path: path + "from=" + from, status: 400, code: "M_INVALID_PARAM"})
		}
		cases = append(cases, refused{name: "no base64", path: path + "from=" + url.QueryEscape("!"), status: 400, code: "M_INVALID_PARAM"})
		for i := range cases {
			cases[i].user = "bob"
		}
		g.refuse(cases)
	})
}
