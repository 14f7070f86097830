package backup_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/keys/internal/backup"
)

// TestErrors goes through what is refused. Version 1 was deleted, 2 is old and 3 is current.
func TestErrors(t *testing.T) {
	long := strings.Repeat("a", 70<<10)
	good := rank{}.key("x")
	room := func(keys object) object { return object{"sessions": keys} }
	all := func(rooms object) object { return object{"rooms": rooms} }
	with := func(name string, value any) object {
		key := rank{}.key("x")
		if value == nil {
			delete(key, name)
		} else {
			key[name] = value
		}
		return key
	}
	version := func(name string, value any) object {
		body := object{"algorithm": algorithm, "auth_data": authData(), name: value}
		if value == nil {
			delete(body, name)
		}
		return body
	}
	type refusal struct {
		status       int
		code         string
		method, path string
		body         any
	}
	var table []refusal
	add := func(status int, code, method, path string, bodies ...any) {
		for _, body := range bodies {
			table = append(table, refusal{status, code, method, path, body})
		}
	}
	// Versions.
	for _, v := range []struct{ method, path string }{{"POST", "version"}, {"PUT", "version/3"}} {
		add(400, "M_MISSING_PARAM", v.method, v.path, "", version("algorithm", nil), version("auth_data", nil))
		add(400, "M_NOT_JSON", v.method, v.path, "{", "{}x")
		add(400, "M_BAD_JSON", v.method, v.path, "[]", version("algorithm", 1), version("auth_data", "x"), version("auth_data", []int{}),
			version("auth_data", object{}), version("auth_data", object{"public_key": 1}),
			version("auth_data", object{"public_key": "YQ", "signatures": "x"}),
			version("auth_data", object{"public_key": "YQ", "signatures": object{"@a:hs": "x"}}),
			version("auth_data", object{"public_key": "YQ", "signatures": object{"@a:hs": object{"ed25519:D": 1}}}))
		add(400, "M_INVALID_PARAM", v.method, v.path, version("algorithm", ""), version("algorithm", strings.Repeat("a", 256)),
			version("auth_data", object{"public_key": ""}), version("auth_data", object{"public_key": "a b"}))
		add(413, "M_TOO_LARGE", v.method, v.path, version("auth_data", object{"public_key": long}),
			version("auth_data", object{"public_key": strings.Repeat(long, 5)}))
	}
	add(400, "M_BAD_JSON", "PUT", "version/3", version("version", 3))
	add(400, "M_INVALID_PARAM", "PUT", "version/3", version("version", "2"), version("version", ""), version("algorithm", "m.other"))
	add(404, "M_NOT_FOUND", "PUT", "version/1", version("version", "1"))
	for _, name := range []string{"1", "4", "0", "-1", "03", "x", "99999999999999999999", "3%20"} {
		add(404, "M_NOT_FOUND", "GET", "version/"+name, nil)
		add(404, "M_NOT_FOUND", "PUT", "version/"+name, version("algorithm", algorithm))
		if name != "1" {
			add(404, "M_NOT_FOUND", "DELETE", "version/"+name, nil)
		}
	}
	// Keys: the version.
	bodies := map[string]any{"keys": all(object{}), "keys/!a:hs": room(object{}), "keys/!a:hs/s": good}
	for path, body := range bodies {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			add(400, "M_MISSING_PARAM", method, path, body)
			add(400, "M_MISSING_PARAM", method, path+"?version=", body)
			add(400, "M_INVALID_PARAM", method, path+"?version=%00", body)
			for _, name := range []string{"1", "4", "x", "03"} {
				add(404, "M_NOT_FOUND", method, path+"?version="+name, body)
			}
		}
		add(403, "M_WRONG_ROOM_KEYS_VERSION", "PUT", path+"?version=2", body)
		add(405, "M_UNRECOGNIZED", "POST", path+"?version=3", body)
	}
	// Keys: names.
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		add(400, "M_INVALID_PARAM", method, at("3", "a:hs"), room(object{}))
		add(400, "M_INVALID_PARAM", method, at("3", "a:hs", "s"), good)
		add(400, "M_INVALID_PARAM", method, at("3", "!a:hs", strings.Repeat("s", 256)), good)
	}
	add(404, "M_NOT_FOUND", "GET", at("3", "!a:hs", "nothing"), nil)
	add(404, "M_NOT_FOUND", "GET", at("3", "!nothing:hs", "s"), nil)
	add(400, "M_INVALID_PARAM", "PUT", at("3"), all(object{"a:hs": room(object{"s": good})}), all(object{"!a:hs": room(object{"": good})}))
	add(400, "M_INVALID_PARAM", "PUT", at("3", "!a:hs"), room(object{"": good}), room(object{strings.Repeat("s", 256): good}))
	// Keys: bodies.
	add(400, "M_MISSING_PARAM", "PUT", at("3"), "", all(nil))
	add(400, "M_MISSING_PARAM", "PUT", at("3", "!a:hs"), "", room(nil))
	add(400, "M_BAD_JSON", "PUT", at("3"), all(object{"!a:hs": object{}}), object{"rooms": []int{}}, object{"rooms": object{"!a:hs": 1}})
	bad := []object{
		{}, with("first_message_index", nil), with("forwarded_count", nil), with("is_verified", nil), with("session_data", nil),
		with("first_message_index", -1), with("first_message_index", 1.5), with("first_message_index", "1"), with("first_message_index", 1<<53),
		with("forwarded_count", -1), with("forwarded_count", 1.5), with("is_verified", "true"), with("is_verified", 1),
		with("session_data", "x"), with("session_data", []int{}), with("session_data", object{"a": "\x00"}),
	}
	for _, key := range bad {
		add(400, "M_BAD_JSON", "PUT", at("3", "!a:hs", "s"), key)
		add(400, "M_BAD_JSON", "PUT", at("3", "!a:hs"), room(object{"s": key}))
		add(400, "M_BAD_JSON", "PUT", at("3"), all(object{"!a:hs": room(object{"s": key})}))
	}
	for _, path := range []string{at("3", "!a:hs", "s"), at("3", "!a:hs"), at("3")} {
		add(400, "M_NOT_JSON", "PUT", path, "{", "\xff")
	}
	huge := with("session_data", object{"a": long})
	add(413, "M_TOO_LARGE", "PUT", at("3", "!a:hs", "s"), huge, with("session_data", object{"a": strings.Repeat(long, 5)}))
	add(413, "M_TOO_LARGE", "PUT", at("3", "!a:hs"), room(object{"s": huge}), room(object{"a": good, "b": good, "c": good, "d": good}),
		room(object{"s": with("session_data", object{"a": strings.Repeat(long, 120)})}))
	add(413, "M_TOO_LARGE", "PUT", at("3"), all(object{"!a:hs": room(object{"a": good, "b": good}), "!b:hs": room(object{"a": good, "b": good})}),
		all(object{"!a:hs": room(object{"s": with("session_data", object{"a": strings.Repeat(long, 120)})})}))

	small := func(cfg *backup.Config) { cfg.RequestKeys = 3 }
	onBoth(t, small, func(t *testing.T, g *rig) {
		for range 3 {
			g.create()
		}
		g.ok("DELETE", "version/1", nil)
		g.ok("PUT", at("3", "!a:hs", "kept"), good)
		before := g.ok("GET", at("3"), nil)
		count, etag := g.state("3")
		for i, c := range table {
			answer := g.fails(c.status, c.code, c.method, c.path, c.body)
			require.Equal(t, c.code == "M_WRONG_ROOM_KEYS_VERSION", answer["current_version"] == "3", fmt.Sprint(i))
		}
		require.Equal(t, before, g.ok("GET", at("3"), nil), "what is refused changes nothing")
		countNow, etagNow := g.state("3")
		require.Equal(t, count, countNow)
		require.Equal(t, etag, etagNow)
	})
}

func TestUsersSeeNothingOfEachOther(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, g *rig) {
		g.create()
		g.ok("PUT", at("1", "!a:hs", "s"), rank{}.key("x"))
		bob := g.as("@bob:hs")
		bob.fails(404, "M_NOT_FOUND", "GET", "version", nil)
		bob.fails(404, "M_NOT_FOUND", "GET", at("1"), nil)
		bob.fails(404, "M_NOT_FOUND", "DELETE", "version/1", nil)
		bob.fails(404, "M_NOT_FOUND", "PUT", at("1", "!a:hs", "s"), rank{Verified: true}.key("y"))
		bob.create()
		require.Equal(t, object{"rooms": object{}}, bob.ok("GET", at("1"), nil))
		bob.ok("DELETE", at("1"), nil)
		bob.ok("DELETE", "version/1", nil)
		require.Equal(t, rankKey("x"), g.ok("GET", at("1", "!a:hs", "s"), nil))
	})
}

func TestUserMayHaveSoMuch(t *testing.T) {
	tight := func(cfg *backup.Config) { cfg.MaxVersions, cfg.MaxKeys, cfg.MaxBytes = 2, 3, 400 }
	onBoth(t, tight, func(t *testing.T, g *rig) {
		full := func(method, path string, body any) {
			t.Helper()
			g.fails(400, "M_RESOURCE_LIMIT_EXCEEDED", method, path, body)
		}
		g.create()
		g.ok("PUT", at("1", "!a:hs"), object{"sessions": object{"a": rank{Index: 5}.key("x"), "b": rank{}.key("x")}})
		g.create()
		full("POST", "version", object{"algorithm": algorithm, "auth_data": authData()})
		full("PUT", at("2", "!a:hs"), object{"sessions": object{"a": rank{}.key("x"), "b": rank{}.key("x")}})
		count, etag := g.state("2")
		require.Zero(t, count, "of a transaction that would be too much nothing is stored")
		require.Equal(t, "0", etag)
		g.ok("PUT", at("2", "!a:hs", "a"), rank{Index: 5}.key("x"))
		full("PUT", at("2", "!a:hs", "b"), rank{}.key("x"))
		full("PUT", at("2", "!a:hs", "a"), rank{Index: 4}.key(strings.Repeat("x", 400)))
		g.ok("PUT", at("2", "!a:hs", "a"), rank{Index: 4}.key("y"))
		g.ok("DELETE", at("1", "!a:hs", "a"), nil)
		g.ok("PUT", at("2", "!a:hs", "b"), rank{}.key("x"))
		g.ok("DELETE", "version/1", nil)
		g.create()
	})
}
