package social_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"

	identitypb "hongyan/api/identity"
	roompb "hongyan/api/room"
	"hongyan/service/social"
)

// TestWhoIsVisible is the specification's list, and what takes somebody off it. Every search comes right after what it
// must know of.
func TestWhoIsVisible(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, u := range []string{"anna", "bela", "carl", "dora"} {
			g.people.register(u, "Person "+u)
		}
		g.finds("anna", "person")
		g.rooms.room("private", "invite", "anna", "bela")
		g.finds("anna", "person", "anna", "bela") // oneself, too: the specification makes no exception
		g.finds("carl", "person")

		g.rooms.member("private", "carl", "invite")
		g.finds("carl", "person") // an invited user is in no room
		g.rooms.member("private", "carl", "join")
		g.finds("carl", "person", "anna", "bela", "carl")
		for _, gone := range []string{"leave", "ban"} {
			g.rooms.member("private", "carl", gone)
			g.finds("anna", "person", "anna", "bela")
			g.finds("carl", "person")
		}

		for i, open := range []struct{ open, shut func() }{
			{func() { g.rooms.joinRule("private", "public") }, func() { g.rooms.joinRule("private", "invite") }},
			{func() { g.rooms.history("private", "world_readable") }, func() { g.rooms.history("private", "shared") }},
		} {
			open.open()
			g.finds("carl", "person", "anna", "bela")
			g.rooms.member("private", "dora", "join") // who comes while it is public
			g.finds("carl", "person", "anna", "bela", "dora")
			open.shut()
			g.finds("carl", "person")
			g.rooms.member("private", "dora", "leave")
			g.finds("anna", "person", "anna", "bela")
			require.Less(t, i, 2)
		}
		g.rooms.joinRule("private", "public")
		g.rooms.history("private", "world_readable")
		g.rooms.joinRule("private", "invite")
		g.finds("carl", "person", "anna", "bela") // everybody may still read it
		for _, rule := range []string{"knock", "restricted", "knock_restricted", "private", "nonsense"} {
			g.rooms.history("private", "shared")
			g.rooms.joinRule("private", rule)
			g.finds("carl", "person")
		}
		// An upgrade leaves a public room's members where they are, and somebody in the new room.
		g.rooms.room("old", "public", "dora")
		g.finds("carl", "person", "dora")
		g.rooms.state("old", "m.room.tombstone", "", `{"replacement_room":"!new"}`)
		g.rooms.room("new", "public", "bela")
		g.finds("carl", "person", "bela", "dora")
		g.rooms.member("old", "dora", "leave")
		g.finds("carl", "person", "bela")
	})
}

// What is no state, or of another key, changes nothing.
func TestWhatIsNoStateIsIgnored(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		g.people.register("anna", "")
		g.rooms.room("r", "invite", "anna")
		g.rooms.add(roomID("r"), 1, `{"type":"m.room.join_rules","content":{"join_rule":"public"}}`)
		g.rooms.add(roomID("r"), 2, `{"type":"m.room.join_rules","state_key":"","content":{"join_rule":"public"}}`)
		g.rooms.state("r", "m.room.join_rules", "other", `{"join_rule":"public"}`)
		g.rooms.state("r", "m.room.history_visibility", "", `{"history_visibility":["world_readable"]}`)
		g.rooms.add(roomID("r"), 1, `not json`)
		g.rooms.add(roomID("r"), 99, `{}`)
		g.people.add(userID("anna"), 99, "")
		g.people.add(userID("nobody"), int32(identitypb.UserEventKind_USER_EVENT_KIND_REGISTERED), "")
		g.finds("bob", "anna")
		g.finds("anna", "anna", "anna")
	})
}

// TestAccountsThatAreNotFound are the deactivated and the locked. A suspended one only may not speak.
func TestAccountsThatAreNotFound(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		g.people.register("anna", "")
		g.people.register("bela", "Bela")
		g.rooms.room("r", "public", "anna", "bela")
		status := identitypb.UserEventKind_USER_EVENT_KIND_STATUS_CHANGED
		g.people.become("bela", status, func(u *identitypb.User) { u.Suspended = true })
		g.finds("anna", "bela", "bela")
		g.people.become("bela", status, func(u *identitypb.User) { u.Locked = true })
		g.finds("anna", "bela")
		g.people.rename("bela", "Bela II")
		g.finds("anna", "bela")
		g.people.become("bela", status, func(u *identitypb.User) { u.Locked = false })
		g.finds("anna", "ii", "bela")
		g.people.become("bela", identitypb.UserEventKind_USER_EVENT_KIND_DEACTIVATED, func(u *identitypb.User) { u.Deactivated = true })
		g.finds("anna", "bela")
		g.finds("anna", "@bela:hs")

		g.people.register("12", "Guest")
		g.people.become("12", status, func(u *identitypb.User) { u.Guest = true })
		g.rooms.member("r", "12", "join")
		g.finds("anna", "guest")
		g.people.become("12", identitypb.UserEventKind_USER_EVENT_KIND_REGISTERED, func(u *identitypb.User) { u.Guest = false })
		g.finds("anna", "guest", "12") // who makes an account of it
	})
}

func TestARenamedUserIsFoundAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.people.register("anna", "Anna")
		g.rooms.room("r", "public", "anna")
		for i := range 20 {
			name := fmt.Sprintf("Name%dth", i)
			g.people.rename("anna", name)
			g.finds("bob", name, "anna")
		}
		g.finds("bob", "name0th")
		g.people.setAvatar("anna", "mxc://hs/a")
		a := g.search("bob", "anna", 0)
		require.JSONEq(t, `{"results":[{"user_id":"@anna:hs","display_name":"Name19th","avatar_url":"mxc://hs/a"}],"limited":false}`, a.body)
		g.people.register("anna2", "")
		g.rooms.member("r", "anna2", "join")
		require.JSONEq(t, `{"user_id":"@anna2:hs"}`, gjson.Get(g.search("bob", "anna2", 0).body, "results.0").Raw)
	})
}

// TestWhatFindsWhom is a table of names and of what is searched for.
func TestWhatFindsWhom(t *testing.T) {
	people := []struct{ user, name string }{
		{"anna.schmidt", "Anna-Lena Müller (Support)"},
		{"u1", "王小明"},
		{"u2", "さくら・キノモト"},
		{"u3", "김철수"},
		{"u4", "Иван Ёлкин"},
		{"u5", "ΟΔΥΣΣΕΥΣ"},
		{"u6", "ＦＵＬＬ ｗｉｄｔｈ"},
		{"u7", "🦊 Fox🐺"},
		{"u8", "100% _under\\score"},
		{"u9", "สมชาย"},
		{"u10", "straße"},
		{"u11", strings.Repeat("w", 200) + " behind"},
		{"u12", "ＤＪ小明Remix"},
		{"ta_g-x=y/z", ""},
	}
	tests := []struct {
		term string
		want []string
	}{
		{"anna", []string{"anna.schmidt"}},
		{"ANNA.SCH", []string{"anna.schmidt"}},
		{"@anna.schmidt:hs", []string{"anna.schmidt"}},
		{"anna.schmidt:h", []string{"anna.schmidt"}},
		{"schmidt", []string{"anna.schmidt"}},
		{"nna", nil},
		{"lena", []string{"anna.schmidt"}},
		{"muller", []string{"anna.schmidt"}},
		{"MÜLLER", []string{"anna.schmidt"}},
		{"Mu\u0308ller", []string{"anna.schmidt"}},
		{"support lena ann", []string{"anna.schmidt"}},
		{"@anna.schmidt:hs müller", []string{"anna.schmidt"}},
		{"anna missing", nil},
		{"(support", []string{"anna.schmidt"}},
		{"  anna \t lena ", []string{"anna.schmidt"}},
		{"王", []string{"u1"}},
		{"小明", []string{"u1", "u12"}},
		{"明", []string{"u1", "u12"}},
		{"明 王", []string{"u1"}},
		{"明小", nil},
		{"さくら", []string{"u2"}},
		{"くら", []string{"u2"}},
		{"ﾓﾄ", []string{"u2"}},
		{"철수", []string{"u3"}},
		{"иван", []string{"u4"}},
		{"елк", []string{"u4"}},
		{"οδυσσευς", []string{"u5"}},
		{"full", []string{"u6"}},
		{"ｗｉ", []string{"u6"}},
		{"fox", []string{"u7"}},
		{"🦊", []string{"u7"}},
		{"%", nil},
		{"100%", []string{"u8"}},
		{"_under\\", []string{"u8"}},
		{"score", []string{"u8"}},
		{"ชาย", []string{"u9"}},
		{"STRASSE", []string{"u10"}},
		{strings.Repeat("W", 200), []string{"u11"}},
		{"behind", []string{"u11"}},
		{"dj", []string{"u12"}},
		{"remix", []string{"u12"}},
		{"g-x", []string{"ta_g-x=y/z"}},
		{"@ta_", []string{"ta_g-x=y/z"}},
		{"hs", nil},
		{"@", []string{"anna.schmidt", "ta_g-x=y/z", "u10", "u11", "u12", "u1", "u2", "u3", "u4", "u5"}},
		{"", nil},
		{" \u200b\u0301\t ", nil},
		{"'; DROP TABLE person; --", nil},
		{"\U0010ffff", nil},
	}
	onBoth(t, func(_ *testing.T, g *rig) {
		for _, p := range people {
			g.people.register(p.user, p.name)
			g.rooms.member("all", p.user, "join")
		}
		g.rooms.joinRule("all", "public")
		for _, test := range tests {
			g.finds("bob", test.term, test.want...)
		}
	})
}

func TestErrors(t *testing.T) {
	g := newRig(t, databases["sqlite"](t), newWorld(t), social.Default())
	for _, test := range []struct {
		body, code string
		status     int
	}{
		{`{"search_term":"a"`, "M_NOT_JSON", http.StatusBadRequest},
		{`{"search_term":NaN}`, "M_NOT_JSON", http.StatusBadRequest},
		{"{\"search_term\":\"\xff\"}", "M_NOT_JSON", http.StatusBadRequest},
		{`[]`, "M_BAD_JSON", http.StatusBadRequest},
		{`{"search_term":1}`, "M_BAD_JSON", http.StatusBadRequest},
		{`{"search_term":["a"]}`, "M_BAD_JSON", http.StatusBadRequest},
		{`{"search_term":"a\u0000"}`, "M_BAD_JSON", http.StatusBadRequest},
		{`{"search_term":"a","limit":"10"}`, "M_BAD_JSON", http.StatusBadRequest},
		{`{"search_term":"a","limit":1.5}`, "M_BAD_JSON", http.StatusBadRequest},
		{`{"search_term":"a","limit":9007199254740992}`, "M_BAD_JSON", http.StatusBadRequest},
		{`{"search_term":"a","limit":0}`, "M_INVALID_PARAM", http.StatusBadRequest},
		{`{"search_term":"a","limit":-1}`, "M_INVALID_PARAM", http.StatusBadRequest},
		{`{}`, "M_MISSING_PARAM", http.StatusBadRequest},
		{``, "M_MISSING_PARAM", http.StatusBadRequest},
		{`{"search_term":null}`, "M_MISSING_PARAM", http.StatusBadRequest},
		{`{"search_term":"` + strings.Repeat("a", 513) + `"}`, "M_INVALID_PARAM", http.StatusBadRequest},
		{`{"search_term":"a b c d e f g h i j k"}`, "M_INVALID_PARAM", http.StatusBadRequest},
		{`{"search_term":"` + strings.Repeat("a", 300<<10) + `"}`, "M_TOO_LARGE", http.StatusRequestEntityTooLarge},
	} {
		a := g.post("anna", test.body)
		require.Equal(t, test.status, a.status, "%.60s: %s", test.body, a.body)
		require.Equal(t, test.code, gjson.Get(a.body, "errcode").Str, "%.60s: %s", test.body, a.body)
	}
	for _, body := range []string{
		`{"search_term":""}`, `{"search_term":"a","limit":9007199254740991}`, `{"search_term":"a","limit":null,"unknown":{}}`,
		`{"search_term":"` + strings.Repeat("a", 512) + `"}`, `{"search_term":"j i h g f e d c b a a a"}`,
	} {
		a := g.post("anna", body)
		require.Equal(t, http.StatusOK, a.status, a.body)
		require.JSONEq(t, `{"results":[],"limited":false}`, a.body, "no user, and an empty list all the same")
	}
}

// TestOrderAndLimit is what comes first, and how much.
func TestOrderAndLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, p := range []struct{ user, name string }{
			{"max", "Zed"}, {"u1", "max"}, {"u2", "MAX"}, {"maxine", ""}, {"maxwell", "The Max"}, {"u3", "Max Power"}, {"u4", "Mad Max"},
			{"u5", "Max Ahead"}, {"searcher", ""},
		} {
			g.people.register(p.user, p.name)
		}
		g.rooms.room("public", "public", "max", "u1", "u2", "maxine", "maxwell", "u3", "u4", "u5")
		all := []string{"max", "u1", "u2", "maxine", "maxwell", "u3", "u4", "u5"}
		g.finds("searcher", "max", all...)
		// Who shares a room comes before the others of their kind.
		g.rooms.room("shared", "invite", "searcher", "u2", "maxwell", "u3")
		all = []string{"max", "u2", "u1", "maxwell", "maxine", "u3", "u4", "u5"}
		g.finds("searcher", "MAX", all...)
		for limit := 1; limit <= len(all)+1; limit++ {
			a := g.search("searcher", "max", limit)
			require.Equal(t, all[:min(limit, len(all))], a.names())
			require.Equal(t, limit < len(all), gjson.Get(a.body, "limited").Bool(), limit)
		}

		for i := range 60 {
			user := fmt.Sprintf("many%02d", i)
			g.people.register(user, "")
			g.rooms.member("public", user, "join")
		}
		require.Len(t, g.search("searcher", "many", 0).names(), 10)
		a := g.search("searcher", "many", 1000)
		require.Len(t, a.names(), 50)
		require.True(t, gjson.Get(a.body, "limited").Bool())
	})
}

func TestEverybodyIsFound(t *testing.T) {
	cfg := social.Default()
	cfg.DirectoryAllUsers = true
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, open(t), newWorld(t), cfg)
			for _, u := range []string{"a1", "a2", "a3"} {
				g.people.register(u, "")
			}
			g.finds("a3", "a", "a1", "a2", "a3")
			g.rooms.room("r", "invite", "a2", "a3")
			g.finds("a3", "a", "a2", "a3", "a1")
			g.people.become("a2", identitypb.UserEventKind_USER_EVENT_KIND_STATUS_CHANGED, func(u *identitypb.User) { u.Locked = true })
			g.finds("a3", "a", "a3", "a1")
		})
	}
}

// Whom somebody ignores they do not find; when it is not known whom they ignore, they find them.
func TestIgnoredUsersVanish(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, u := range []string{"a1", "a2", "a3"} {
			g.people.register(u, "")
		}
		g.rooms.room("r", "public", "a1", "a2", "a3")
		g.ignores.set("a1", `{"ignored_users":{"@a2:hs":{},"@other:hs":{}}}`)
		g.finds("a1", "a", "a1", "a3")
		g.finds("a1", "@a2:hs")
		g.finds("a3", "a", "a1", "a2", "a3")
		a := g.search("a1", "a", 2)
		require.False(t, gjson.Get(a.body, "limited").Bool(), "whom they ignore is not counted")
		g.ignores.set("a1", `{"ignored_users":[]}`)
		g.finds("a1", "a", "a1", "a2", "a3")
		g.ignores.set("a1", `{"ignored_users":{"@a2:hs":{}}}`)
		g.ignores.fail(errors.New("sync is down"))
		g.finds("a1", "a", "a1", "a2", "a3")
	})
}

// Somebody whose name has many words that begin alike takes one place, and nobody else's.
func TestManyWordsAreOneUser(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.people.register("x1", "ma mb mc md me mf mg mh mi mj mk ml")
		g.people.register("x2", "mz")
		g.rooms.room("r", "public", "x1", "x2")
		g.finds("bob", "m", "x1", "x2")
		for limit, limited := range map[int]bool{1: true, 2: false} {
			a := g.search("bob", "m", limit)
			require.Len(t, a.names(), limit)
			require.Equal(t, limited, gjson.Get(a.body, "limited").Bool(), limit)
		}
	})
}

// In large rooms it is looked at who could be found instead of at all members: the same is found.
func TestLargeRooms(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		for i := range 2100 {
			g.rooms.member("large", fmt.Sprintf("nobody%d", i), "join") // of whom the directory knows nothing
		}
		for _, user := range []string{"searcher", "m1", "m2", "m3", "m4"} {
			g.people.register(user, "")
		}
		g.rooms.member("large", "searcher", "join")
		g.rooms.member("large", "m2", "join")
		g.rooms.room("public", "public", "m3")
		g.rooms.room("other", "invite", "m1", "m4")
		g.finds("searcher", "m", "m2", "m3")
		g.finds("m1", "m", "m1", "m4", "m3")
		g.finds("searcher", "@m2:hs", "m2")
		g.finds("searcher", "m1")
	})
}

// TestTooManyToLookAt: where more than can be looked at could be found, and none of those that were may be seen, the answer says
// that it is not all there is.
func TestTooManyToLookAt(t *testing.T) {
	w := newWorld(t)
	for i := range 20_001 {
		w.people.register(fmt.Sprintf("h%d", i), "")
	}
	w.people.register("hz", "")
	w.rooms.room("r", "invite", "searcher", "hz")
	g := newRig(t, databases["sqlite"](t), w, social.Default())
	g.awaitModel()
	a := g.search("stranger", "h", 0)
	require.Empty(t, a.names())
	require.True(t, gjson.Get(a.body, "limited").Bool(), a.body)
	require.False(t, gjson.Get(g.search("stranger", "h1", 0).body, "limited").Bool())
	require.Equal(t, []string{"hz"}, g.search("searcher", "h", 0).names(), "whose rooms are small finds everybody there")
}

// A room that an administrator removed shows nobody any more, also where it is not read any more that its members left.
func TestARemovedRoomIsForgotten(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.people.register("anna", "")
		g.rooms.room("r", "public", "anna")
		g.finds("bob", "anna", "anna")
		body, err := proto.Marshal(&roompb.Purged{BeforeMs: 1, BeforeSeq: 2})
		require.NoError(t, err)
		g.rooms.addBody(roomID("r"), int32(roompb.EntryKind_ENTRY_KIND_PURGED), body)
		g.finds("bob", "anna", "anna") // messages alone were removed
		g.rooms.purge("r")
		g.finds("bob", "anna")
		g.awaitModel()
		g.rooms.room("other", "public", "anna")
		g.finds("bob", "anna", "anna")
	})
}

// TestTextThatNoDatabaseHolds takes in names that are older than the rule against U+0000, and goes on behind them; such an id among
// those whom somebody ignores is nobody's.
func TestTextThatNoDatabaseHolds(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		g.people.register("nul", "Na\x00me of theirs")
		g.people.register("next", "Next Name")
		g.rooms.room("room", "public", "nul", "next")
		g.ignores.set("next", `{"ignored_users":{"@a\u0000b:hs":{},"@c\ud800:hs":{}}}`)
		g.finds("next", "name", "next", "nul")
	})
}

// TestPunctuation finds names as people write them.
func TestPunctuation(t *testing.T) {
	onBoth(t, func(_ *testing.T, g *rig) {
		g.people.register("zoe", "Zoë O'Brien")
		g.rooms.room("room", "public", "zoe")
		for _, term := range []string{"zoe*", `"zoe"`, "-zoe", "O\u2019Brien", "(brien)", "zoe, o'brien"} {
			g.finds("zoe", term, "zoe")
		}
	})
}
