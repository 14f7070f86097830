package room_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/test/addressbook"
)

// withAddresses runs a test on both databases.
func withAddresses(t *testing.T, test func(t *testing.T, g *world, b *addressbook.Server)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			g, b := newWorldWithAddresses(t, open(t))
			test(t, g, b)
		})
	}
}

func (g *world) invitation(user, roomID string) map[string]any {
	return g.content("alice", roomID, "m.room.member", userID(user))
}

// TestInviteByAddress goes both ways: who has bound the address is invited at once; for who has not, the identity server keeps an
// invite, which becomes theirs when they bind it.
func TestInviteByAddress(t *testing.T) {
	withAddresses(t, func(t *testing.T, g *world, b *addressbook.Server) {
		id := g.createWith("alice", map[string]any{"preset": "private_chat", "name": "Geese", "creation_content": map[string]any{"type": "m.space"}})
		b.Set(func(how *addressbook.Behaviour) { how.Bound["carol@example.org"], how.Stale = userID("carol"), true })
		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite(" Carol@Example.org"))
		require.Equal(t, "invite", g.invitation("carol", id)["membership"])
		require.Equal(t, "The carol", g.invitation("carol", id)["displayname"])
		require.Empty(t, b.Stored())

		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("bob@example.org"))
		require.Len(t, b.Stored(), 1)
		require.Equal(t, map[string]any{
			"medium": "email", "address": "bob@example.org", "room_id": id, "sender": userID("alice"), "room_name": "Geese",
			"room_join_rules": "invite", "room_type": "m.space", "sender_display_name": "The alice",
		}, b.Stored()[0])
		pending := g.content("alice", id, "m.room.third_party_invite", "token1")
		require.Equal(t, "b...@e...", pending["display_name"])
		require.Len(t, pending["public_keys"], 2)
		require.NotContains(t, mustJSON(pending), "bob@", "the address is in no event")
		require.Nil(t, g.invitation("bob", id))

		require.Equal(t, 200, g.bind(userID("bob"), id, b.Signed(userID("bob"), "token1")).status)
		invited := g.invitation("bob", id)
		require.Equal(t, "invite", invited["membership"])
		require.Equal(t, "The bob", invited["displayname"])
		require.Equal(t, "b...@e...", invited["third_party_invite"].(map[string]any)["display_name"])
		before := len(g.verify(id, event.V12))
		require.Equal(t, 200, g.bind(userID("bob"), id, b.Signed(userID("bob"), "token1")).status)
		g.act("bob", id, "join")
		require.Equal(t, 200, g.bind(userID("bob"), id, b.Signed(userID("bob"), "token1")).status)
		require.Equal(t, "join", g.invitation("bob", id)["membership"])
		require.Len(t, g.verify(id, event.V12), before+1, "only the join was added")
	})
}

func mustJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// TestJoinWithSignedInvite joins a room with the proof that an invite by address is one's own.
func TestJoinWithSignedInvite(t *testing.T) {
	withAddresses(t, func(t *testing.T, g *world, b *addressbook.Server) {
		id := g.createWith("alice", map[string]any{"preset": "private_chat"})
		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("bob@example.org"))
		join := func(user string, signed any) answer {
			return g.do(http.MethodPost, user, roomPath(id, "join"), map[string]any{"third_party_signed": signed})
		}
		good := b.Signed(userID("bob"), "token1")
		forged := addressbook.New(t).Signed(userID("bob"), "token1")
		for name, c := range map[string]struct {
			user   string
			signed any
			status int
			code   string
		}{
			"another's":     {"carol", good, 403, "M_FORBIDDEN"},
			"for oneself":   {"carol", map[string]any{"mxid": userID("carol"), "token": "token1", "signatures": good["signatures"]}, 403, "M_FORBIDDEN"},
			"forged":        {"bob", forged, 403, "M_FORBIDDEN"},
			"unknown token": {"bob", b.Signed(userID("bob"), "token9"), 403, "M_FORBIDDEN"},
			"no token":      {"bob", map[string]any{"mxid": userID("bob")}, 403, "M_FORBIDDEN"},
			"shape":         {"bob", "yes", 403, "M_FORBIDDEN"},
			"fraction":      {"bob", map[string]any{"mxid": userID("bob"), "token": "token1", "unsigned": 1.5}, 403, "M_FORBIDDEN"},
		} {
			a := join(c.user, c.signed)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), name)
		}
		b.Set(func(how *addressbook.Behaviour) { how.Invalid = true })
		require.Equal(t, 403, join("bob", good).status, "the key was revoked")
		b.Set(func(how *addressbook.Behaviour) { how.Invalid, how.Status = false, 503 })
		a := join("bob", good)
		require.Equal(t, 502, a.status, string(a.body))
		b.Set(func(how *addressbook.Behaviour) { how.Status = 0 })
		require.Equal(t, 200, join("bob", good).status)
		require.Equal(t, "join", g.invitation("bob", id)["membership"])
		g.verify(id, event.V12)

		// What was taken back lets nobody in.
		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("carol@example.org"))
		g.setState("alice", id, "m.room.third_party_invite", "token2", map[string]any{})
		require.Equal(t, 403, join("carol", b.Signed(userID("carol"), "token2")).status)
		g.to("alice", id, "ban", "carol")
		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("carol2@example.org"))
		require.Equal(t, 403, join("carol", b.Signed(userID("carol"), "token3")).status, "banned")
	})
}

// TestBindTellsLies calls the open door of identity servers with what none has sent: nothing changes, and nobody is asked who is not
// trusted, wherever an invite in a room says that its key can be checked.
func TestBindTellsLies(t *testing.T) {
	withAddresses(t, func(t *testing.T, g *world, b *addressbook.Server) {
		id := g.createWith("alice", map[string]any{"preset": "private_chat"})
		other := addressbook.New(t)
		for i, at := range []string{
			other.URL() + "/_matrix/identity/v2/pubkey/isvalid", "http://" + b.Name + "/_matrix/identity/v2/pubkey/isvalid",
			"https://" + b.Name + "/admin", "https://" + b.Name + "/_matrix/identity/../../admin", "https://" + b.Name + "/_matrix/identity/v2/pubkey/%2e%2e/isvalid",
			"https://" + b.Name + "@" + other.Name + "/_matrix/identity/", "::", "file:///etc/passwd",
		} {
			token := "own" + string(rune('0'+i))
			g.setState("alice", id, "m.room.third_party_invite", token, map[string]any{
				"display_name": "x", "public_key": other.Public(), "key_validity_url": at, "public_keys": []any{map[string]any{"public_key": "?"}},
			})
			require.Equal(t, 200, g.bind(userID("bob"), id, other.Signed(userID("bob"), token)).status, at)
			require.Nil(t, g.invitation("bob", id), at)
		}
		require.Empty(t, other.Questions())
		require.Empty(t, b.Questions())
		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("x@example.org"))
		for _, c := range []struct{ user, room string }{
			{"@eve:elsewhere", id}, {userID("nobody"), id}, {userID("bob"), "!unknown:hs"}, {userID("bob"), "#no:room"},
		} {
			require.Equal(t, 200, g.bind(c.user, c.room, b.Signed(c.user, "token1")).status, c)
		}
		require.Nil(t, g.invitation("bob", id))
		require.Nil(t, g.invitation("nobody", id))
		fraction := b.Signed(userID("bob"), "token1")
		fraction["unsigned"] = 1.5 // is not signed, and no event can have it
		require.Equal(t, 200, g.bind(userID("bob"), id, fraction).status)
		require.Nil(t, g.invitation("bob", id))
		g.closed.set(nil, userID("bob"))
		require.Equal(t, 200, g.bind(userID("bob"), id, b.Signed(userID("bob"), "token1")).status)
		require.Nil(t, g.invitation("bob", id), "who takes no invites takes none of these")
		for name, c := range map[string]struct{ body, code string }{
			"no JSON": {`{`, "M_NOT_JSON"}, "shape": {`{"mxid":1}`, "M_BAD_JSON"}, "user": {`{"mxid":"bob"}`, "M_INVALID_PARAM"},
			"many": {`{"mxid":"@bob:hs","invites":[` + strings.Repeat(`{},`, 50) + `{}]}`, "M_INVALID_PARAM"},
		} {
			a := g.bindRaw(c.body)
			require.Equal(t, 400, a.status, name)
			require.Equal(t, c.code, a.code(), name)
		}
	})
}

// TestCreateRoomInvitesByAddress invites those who are found with all others, and leaves the rest with the identity server.
func TestCreateRoomInvitesByAddress(t *testing.T) {
	withAddresses(t, func(t *testing.T, g *world, b *addressbook.Server) {
		b.Set(func(how *addressbook.Behaviour) { how.Bound["carol@example.org"] = userID("carol") })
		body := map[string]any{"preset": "trusted_private_chat", "is_direct": true, "invite_3pid": []any{
			b.Invite("carol@example.org"), b.Invite("bob@example.org"), b.Invite("BOB@example.org"),
		}}
		caller := httpx.Caller{UserID: userID("alice"), DeviceID: "D", IdempotencyKey: "k"}
		first := g.doAs(caller, http.MethodPost, "/createRoom", body)
		require.Equal(t, 200, first.status, string(first.body))
		id := first.str("room_id")
		require.Equal(t, true, g.invitation("carol", id)["is_direct"])
		require.Equal(t, []any{userID("carol")}, g.content("alice", id, "m.room.create", "")["additional_creators"])
		require.NotNil(t, g.content("alice", id, "m.room.third_party_invite", "token1"))
		require.Len(t, b.Stored(), 1, "an address twice is one invite")
		again := g.doAs(caller, http.MethodPost, "/createRoom", body)
		require.Equal(t, id, again.str("room_id"))
		require.Len(t, b.Stored(), 1, "a repetition writes to nobody")

		caller.IdempotencyKey = "k2"
		for range 2 {
			require.Equal(t, 200, g.doAs(caller, http.MethodPost, roomPath(id, "invite"), b.Invite("d@example.org")).status)
		}
		require.Len(t, b.Stored(), 2)

		rooms := len(g.get("alice", "/joined_rooms").object()["joined_rooms"].([]any))
		b.Set(func(how *addressbook.Behaviour) { how.Status = 500 })
		a := g.do(http.MethodPost, "alice", "/createRoom", body)
		require.Equal(t, 502, a.status, string(a.body))
		require.Len(t, g.get("alice", "/joined_rooms").object()["joined_rooms"], rooms, "nothing was made")
	})
}

func TestInviteByAddressIsRefused(t *testing.T) {
	withAddresses(t, func(t *testing.T, g *world, b *addressbook.Server) {
		id := g.createWith("alice", map[string]any{"preset": "private_chat", "power_level_content_override": map[string]any{"invite": 50}})
		g.to("alice", id, "invite", "bob")
		g.act("bob", id, "join")
		b.Set(func(how *addressbook.Behaviour) {
			how.Bound["bob@example.org"], how.Bound["carol@example.org"] = userID("bob"), userID("carol")
		})
		g.closed.set(nil, userID("carol"))
		with := func(key string, value any) map[string]any {
			body := b.Invite("x@example.org")
			if value == nil {
				delete(body, key)
			} else {
				body[key] = value
			}
			return body
		}
		for name, c := range map[string]struct {
			user   string
			body   map[string]any
			status int
			code   string
		}{
			"stranger":      {"carol", with("", ""), 403, "M_FORBIDDEN"},
			"power":         {"bob", with("", ""), 403, "M_FORBIDDEN"},
			"no server":     {"alice", with("id_server", nil), 400, "M_MISSING_PARAM"},
			"no token":      {"alice", with("id_access_token", nil), 400, "M_MISSING_PARAM"},
			"no address":    {"alice", with("address", nil), 400, "M_MISSING_PARAM"},
			"other server":  {"alice", with("id_server", "127.0.0.1:1"), 403, "M_SERVER_NOT_TRUSTED"},
			"path":          {"alice", with("id_server", b.Name+"/x"), 403, "M_SERVER_NOT_TRUSTED"},
			"medium":        {"alice", with("medium", "post"), 400, "M_INVALID_PARAM"},
			"token":         {"alice", with("id_access_token", "a\r\nX: y"), 400, "M_INVALID_PARAM"},
			"long":          {"alice", with("address", strings.Repeat("x", 600)), 400, "M_INVALID_PARAM"},
			"blank":         {"alice", with("address", " "), 400, "M_INVALID_PARAM"},
			"shape":         {"alice", with("address", 1), 400, "M_BAD_JSON"},
			"unknown token": {"alice", with("id_access_token", "wrong"), 403, "M_UNAUTHORIZED"}, // not M_UNKNOWN_TOKEN, which logs clients out
			"joined":        {"alice", b.Invite("bob@example.org"), 403, "M_FORBIDDEN"},
			"blocks":        {"alice", b.Invite("carol@example.org"), 403, "M_INVITE_BLOCKED"},
		} {
			a := g.do(http.MethodPost, c.user, roomPath(id, "invite"), c.body)
			require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
			require.Equal(t, c.code, a.code(), name)
		}
		require.Empty(t, b.Stored())
		b.Set(func(how *addressbook.Behaviour) { how.Status = 403 })
		a := g.do(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("x@example.org"))
		require.Equal(t, 403, a.status)
		require.Equal(t, "M_TERMS_NOT_SIGNED", a.code())
		b.Set(func(how *addressbook.Behaviour) { how.Status = 429 })
		a = g.do(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("x@example.org"))
		require.Equal(t, 429, a.status)
		require.Equal(t, "M_LIMIT_EXCEEDED", a.code())
		b.Set(func(how *addressbook.Behaviour) { how.Status = 0 })
		many := slices.Repeat([]any{b.Invite("x@example.org")}, 21)
		a = g.do(http.MethodPost, "alice", "/createRoom", map[string]any{"invite_3pid": many})
		require.Equal(t, 400, a.status)
		b.Close()
		a = g.do(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("x@example.org"))
		require.Equal(t, 502, a.status, string(a.body))
		require.NotContains(t, string(a.body), "secret")
	})
}

// TestSignedInviteIsGoodOnce lets nobody in again with what everybody in the room can read by then, nor with the word of who may not
// invite any more.
func TestSignedInviteIsGoodOnce(t *testing.T) {
	withAddresses(t, func(t *testing.T, g *world, b *addressbook.Server) {
		id := g.createWith("alice", map[string]any{
			"preset": "private_chat", "power_level_content_override": map[string]any{"invite": 50, "users": map[string]int{userID("mod"): 50}},
		})
		g.to("alice", id, "invite", "mod")
		g.act("mod", id, "join")
		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("bob@example.org"))
		proof := b.Signed(userID("bob"), "token1")
		again := func(why string) {
			t.Helper()
			require.Equal(t, 200, g.bind(userID("bob"), id, proof).status)
			require.NotEqual(t, "invite", g.invitation("bob", id)["membership"], why)
			a := g.do(http.MethodPost, "bob", roomPath(id, "join"), map[string]any{"third_party_signed": proof})
			require.Equal(t, 403, a.status, why)
		}
		join := func() {
			require.Equal(t, 200, g.do(http.MethodPost, "bob", roomPath(id, "join"), map[string]any{"third_party_signed": proof}).status)
		}
		join()
		g.act("bob", id, "leave")
		again("left")
		g.ok(http.MethodPost, "alice", roomPath(id, "invite"), b.Invite("bob@example.org"))
		proof = b.Signed(userID("bob"), "token2")
		join()
		g.to("alice", id, "kick", "bob")
		again("kicked")
		g.to("alice", id, "ban", "bob")
		again("banned")
		g.to("alice", id, "unban", "bob")
		again("unbanned")

		g.ok(http.MethodPost, "mod", roomPath(id, "invite"), b.Invite("bob@example.org"))
		proof = b.Signed(userID("bob"), "token3")
		g.to("alice", id, "ban", "mod")
		again("the inviter is banned")
	})
}

// TestSignedInviteIsBounded looks at no more keys and signatures than there may be, asks an identity server a few times at most, and
// keeps nothing in the room that nobody has signed.
func TestSignedInviteIsBounded(t *testing.T) {
	withAddresses(t, func(t *testing.T, g *world, b *addressbook.Server) {
		id := g.createWith("alice", map[string]any{"preset": "private_chat"})
		invite := func(token string, keys int, path string) {
			list := []any{}
			for i := range keys {
				list = append(list, map[string]any{
					"public_key": b.Public(), "key_validity_url": fmt.Sprintf("https://%s/_matrix/identity/v2/pubkey/%s#%d", b.Name, path, i),
				})
			}
			g.setState("alice", id, "m.room.third_party_invite", token, map[string]any{"display_name": "x", "public_keys": list})
		}
		invite("many", 17, "isvalid")
		require.Equal(t, 200, g.bind(userID("bob"), id, b.Signed(userID("bob"), "many")).status)
		require.Nil(t, g.invitation("bob", id))
		require.Empty(t, b.Questions())

		b.Set(func(how *addressbook.Behaviour) { how.Invalid = true })
		invite("some", 16, "isvalid")
		require.Equal(t, 200, g.bind(userID("bob"), id, b.Signed(userID("bob"), "some")).status)
		require.Nil(t, g.invitation("bob", id))
		require.Len(t, b.Questions(), 4)

		b.Set(func(how *addressbook.Behaviour) { how.Invalid = false })
		proof := b.Signed(userID("bob"), "some")
		proof["unsigned"] = map[string]any{"text": "of anybody's"}
		proof["signatures"].(map[string]any)["elsewhere"] = map[string]any{"ed25519:1": strings.Repeat("A", 86), "other": "text"}
		require.Equal(t, 200, g.bind(userID("bob"), id, proof).status)
		signed := g.invitation("bob", id)["third_party_invite"].(map[string]any)["signed"].(map[string]any)
		require.NotContains(t, signed, "unsigned")
		require.Len(t, signed["signatures"], 1)
		require.NotContains(t, signed["signatures"], "elsewhere")
		g.verify(id, event.V12)
	})
}
