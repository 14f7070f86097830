package room_test

import (
	"net/http"
	"testing"
)

// TestErrorCodes has those error codes of the OpenAPI files that no other table has.
func TestErrorCodes(t *testing.T) {
	onBothWorlds(t, func(_ *testing.T, g *world) {
		id := g.createWith("alice", map[string]any{"preset": "private_chat", "room_alias_name": "closed"})
		event := g.say("alice", id, "x")
		const post = http.MethodPost
		g.refuse([]refused{
			{name: "aliases of no room", user: "alice", path: "v3/rooms/room/aliases", status: 400, code: "M_INVALID_PARAM"},
			{name: "no JSON", method: post, user: "alice", path: "v3" + roomPath(id, "invite"), body: "{", status: 400, code: "M_NOT_JSON"},
			{name: "no object", method: post, user: "alice", path: "v3" + roomPath(id, "invite"), body: "[]", status: 400, code: "M_BAD_JSON"},
			{name: "join by alias", method: post, user: "bob", path: "v3/join/%23closed:hs", body: "{}", status: 403, code: "M_FORBIDDEN"},
			{name: "relations of a stranger", user: "bob", path: "v1" + roomPath(id, "relations", event, "m.thread"), status: 404, code: "M_NOT_FOUND"},
			{name: "relations of nothing", user: "alice", path: "v1" + roomPath(id, "relations", "$x", "m.thread"), status: 404, code: "M_NOT_FOUND"},
			{name: "with a type", user: "alice", path: "v1" + roomPath(id, "relations", "$x", "m.thread", "m.x"), status: 404, code: "M_NOT_FOUND"},
		})
	})
}
