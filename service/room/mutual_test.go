package room_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (g *rig) mutual(user, other, from string) answer {
	g.t.Helper()
	path := "v1/mutual_rooms?user_id=" + url.QueryEscape(userID(other)) + "&from=" + url.QueryEscape(from)
	a := g.ask(http.MethodGet, user, path, nil)
	require.Equal(g.t, http.StatusOK, a.status, string(a.body))
	return a
}

func TestMutualRooms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		require.Equal(t, map[string]any{"joined": []any{}, "count": 0.0}, g.mutual("alice", "nobody", "").object())
		var both []any
		for i := range 6 {
			id := g.create("")
			if i < 3 {
				g.act("bob", id, "join")
				both = append(both, id)
			}
		}
		invited, left, banned := g.create(""), g.create(""), g.create("")
		g.to("alice", invited, "invite", "bob")
		g.act("bob", left, "join")
		g.act("bob", left, "leave")
		g.act("bob", banned, "join")
		g.to("alice", banned, "ban", "bob")
		slices.SortFunc(both, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
		want := map[string]any{"joined": both, "count": 3.0}
		require.Equal(t, want, g.mutual("alice", "bob", "").object())
		require.Equal(t, want, g.mutual("bob", "alice", "").object())
		require.Empty(t, g.mutual("carol", "bob", "").list("joined"), "not in any of them")
		g.act("bob", both[0].(string), "leave")
		require.Equal(t, map[string]any{"joined": both[1:], "count": 2.0}, g.mutual("alice", "bob", "").object())
	})
}

func TestMutualRoomsPages(t *testing.T) {
	g := newRig(t, databases["sqlite"](t))
	const rooms = 1003
	var want []string
	for range rooms {
		id := g.create("")
		g.act("bob", id, "join")
		want = append(want, id)
	}
	slices.Sort(want)
	var got []string
	pages := 0
	for from := ""; ; pages++ {
		a := g.mutual("alice", "bob", from)
		require.EqualValues(t, rooms, a.object()["count"])
		for _, id := range a.object()["joined"].([]any) {
			got = append(got, id.(string))
		}
		if from = a.str("next_batch"); from == "" {
			break
		}
	}
	require.Equal(t, want, got)
	require.Equal(t, 2, pages)
}

func TestMutualRoomsRefusals(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		token := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
		const path = "v1/mutual_rooms?user_id="
		cases := []refused{
			{name: "no user", path: "v1/mutual_rooms", status: 400, code: "M_MISSING_PARAM"},
			{name: "oneself", path: path + "@alice:hs", status: 400, code: "M_INVALID_PARAM"},
			{name: "no user id", path: path + "bob", status: 400, code: "M_INVALID_PARAM"},
			{name: "no server", path: path + "@bob", status: 400, code: "M_INVALID_PARAM"},
			{name: "NUL", path: path + "@b%00ob:hs", status: 400, code: "M_INVALID_PARAM"},
			{name: "nobody", path: path + "@nobody:elsewhere.org", status: 200},
			{name: "somebody else's token", path: path + "@bob:hs&from=" + token(`{"u":"@carol:hs","r":"!a:hs"}`), status: 400, code: "M_INVALID_PARAM"},
			{name: "own token", path: path + "@bob:hs&from=" + token(`{"u":"@bob:hs","r":"!a:hs"}`), status: 200},
		}
		for _, from := range []string{"x", token(`{}`), token(`{"u":"@bob:hs"}`), token(`{"u":"@bob:hs","r":"\u0000"}`)} {
			cases = append(cases, refused{name: from, path: path + "@bob:hs&from=" + from, status: 400, code: "M_INVALID_PARAM"})
		}
		for i := range cases {
			cases[i].user = "alice"
		}
		g.refuse(cases)
	})
}

// TestMutualRoomsOfMSC2666 asks as matrix-js-sdk still does.
func TestMutualRoomsOfMSC2666(t *testing.T) {
	g := newRig(t, databases["sqlite"](t))
	for range 501 {
		g.act("bob", g.create(""), "join")
	}
	const path = "unstable/uk.half-shot.msc2666/user/mutual_rooms?user_id=%40bob%3Ahs"
	first := g.ask(http.MethodGet, "alice", path, nil)
	require.Equal(t, http.StatusOK, first.status, string(first.body))
	require.Len(t, first.object()["joined"], 500)
	second := g.ask(http.MethodGet, "alice", path+"&batch_token="+url.QueryEscape(first.str("next_batch_token")), nil)
	require.Len(t, second.object()["joined"], 1)
	require.NotContains(t, second.object(), "next_batch_token")
}
