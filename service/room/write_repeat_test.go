package room_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/service/room"
)

// repeatable is a request that a gateway may repeat at another instance.
type repeatable struct {
	// route is the one of room.Routes.
	route string
	user  string
	// prepare makes the request possible in a room of alice's that bob is in, and returns its path; nil where another test repeats it.
	prepare func(g *world, id string) (path string)
	body    func(id string) any
}

func repeatables() []repeatable {
	in := func(rest ...string) func(*world, string) string {
		return func(_ *world, id string) string { return roomPath(id, rest...) }
	}
	about := func(user string) func(string) any {
		return func(string) any { return map[string]string{"user_id": userID(user)} }
	}
	content := func(string) any { return map[string]any{"x": 1} }
	because := func(string) any { return map[string]string{"reason": "spam"} }
	nothing := func(string) any { return map[string]any{} }
	named := func(id string) any { return map[string]string{"room_id": id} }
	const alias = "/directory/room/{roomAlias}"
	return []repeatable{
		{"POST /publicRooms", "alice", func(*world, string) string { return "/publicRooms" }, nothing},
		{"POST /createRoom", "alice", func(*world, string) string { return "/createRoom" }, nothing},
		{"POST /join/{roomIdOrAlias}", "carol", func(_ *world, id string) string { return "/join/" + id }, nothing},
		{"POST /rooms/{roomId}/join", "carol", in("join"), nothing},
		{"POST /knock/{roomIdOrAlias}", "carol", func(g *world, id string) string {
			g.setState("alice", id, "m.room.join_rules", "", map[string]string{"join_rule": "knock"})
			return "/knock/" + id
		}, nothing},
		{"POST /rooms/{roomId}/upgrade", "alice", in("upgrade"), func(string) any { return map[string]string{"new_version": "11"} }},
		{"POST /rooms/{roomId}/leave", "bob", in("leave"), nothing},
		{"POST /rooms/{roomId}/forget", "bob", func(g *world, id string) string {
			g.act("bob", id, "leave")
			return roomPath(id, "forget")
		}, nothing},
		{"POST /rooms/{roomId}/invite", "alice", in("invite"), about("carol")},
		{"POST /rooms/{roomId}/kick", "alice", in("kick"), about("bob")},
		{"POST /rooms/{roomId}/ban", "alice", in("ban"), about("bob")},
		{"POST /rooms/{roomId}/unban", "alice", func(g *world, id string) string {
			g.to("alice", id, "ban", "bob")
			return roomPath(id, "unban")
		}, about("bob")},
		{"PUT /rooms/{roomId}/send/{eventType}/{txnId}", "alice", in("send", "x", "t1"), content},
		{"PUT /rooms/{roomId}/redact/{eventId}/{txnId}", "alice", func(g *world, id string) string {
			return roomPath(id, "redact", g.say("bob", id, "oh"), "t2")
		}, nothing},
		{"PUT /rooms/{roomId}/state/{eventType}", "alice", in("state", "x"), content},
		{"PUT /rooms/{roomId}/state/{eventType}/", "alice", in("state", "x", ""), content},
		{"PUT /rooms/{roomId}/state/{eventType}/{stateKey}", "alice", in("state", "x", "y"), content},
		{"PUT " + alias, "alice", func(*world, string) string { return aliasPath("#put:hs") }, named},
		{"DELETE " + alias, "alice", func(g *world, id string) string {
			g.ok(http.MethodPut, "alice", aliasPath("#delete:hs"), named(id))
			g.setState("alice", id, "m.room.canonical_alias", "", map[string]any{"alias": "#delete:hs"})
			return aliasPath("#delete:hs")
		}, nothing},
		{"POST /rooms/{roomId}/report", "bob", in("report"), because},
		{"POST /rooms/{roomId}/report/{eventId}", "bob", func(g *world, id string) string {
			return roomPath(id, "report", g.say("alice", id, "oh"))
		}, because},
		{"POST /users/{userId}/report", "bob", func(*world, string) string { return "/users/" + userID("alice") + "/report" }, because},
		{"PUT /_matrix/federation/v1/3pid/onbind", "", nil, nil}, // TestInviteByAddress repeats it
		{"PUT /directory/list/room/{roomId}", "alice", func(_ *world, id string) string { return "/directory/list/room/" + id }, nothing},
	}
}

// entries counts everything that was ever written to the log, and reports.
func (g *world) entries() (n int) {
	g.t.Helper()
	require.NoError(g.t, g.db.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM room_entry) + (SELECT count(*) FROM report)`).Scan(&n))
	return n
}

// TestRepetitionsAtAnotherInstance repeats each request that changes something, as a gateway does when the instance that it
// sent it to has died: maybe before, maybe after it was done.
func TestRepetitionsAtAnotherInstance(t *testing.T) {
	url := databases["postgres"](t)
	one := newWorld(t, url, nil)
	two := newWorld(t, url, one)
	tested := map[string]bool{}
	for _, c := range repeatables() {
		tested[c.route] = true
		if c.prepare == nil {
			continue
		}
		t.Run(c.route, func(t *testing.T) {
			one, two := &world{rig: one.at(t)}, &world{rig: two.at(t)}
			id := one.create("")
			one.act("bob", id, "join")
			method, _, _ := strings.Cut(c.route, " ")
			path := c.prepare(one, id)
			caller := httpx.Caller{UserID: userID(c.user), DeviceID: "D", IdempotencyKey: "key of " + c.route}
			first := one.doAs(caller, method, path, c.body(id))
			require.Equal(t, 200, first.status, string(first.body))
			written := one.entries()
			for _, g := range []*world{two, one} {
				again := g.doAs(caller, method, path, c.body(id))
				require.Equal(t, first.status, again.status, string(again.body))
				require.Equal(t, string(first.body), string(again.body))
			}
			require.Equal(t, written, two.entries(), "it happened once")
		})
	}
	for _, r := range room.Routes() {
		if r.Method != http.MethodGet && !r.Once {
			name := r.Method + " " + strings.TrimPrefix(r.Path, "/_matrix/client/v3")
			require.True(t, tested[name], "%s is repeated and not tested", name)
		}
	}
}
