package keys_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/keys"
)

const curve = "signed_curve25519"

func TestUploadedDeviceKeysAreShown(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		alice, bob := g.login("alice", "A1"), g.login("bob", "B/1")
		uploaded := deviceKeys(t, alice, newSigningKey())
		uploaded["unsigned"] = object{"x": 1}
		a := g.ok(alice, "/keys/upload", object{"device_keys": uploaded})
		require.JSONEq(t, `{"one_time_key_counts":{"signed_curve25519":0}}`, a.body)
		users, last := g.changed(0, "")
		require.Equal(t, []string{"@alice:hs"}, users)

		got := g.query(bob, "alice", "nobody")
		shown := got.get("device_keys", "@alice:hs", "A1")
		require.Equal(t, "name of A1", shown.Get("unsigned.device_display_name").Str)
		require.Equal(t, int64(1), shown.Get("unsigned.@keys.#").Int())
		require.Equal(t, uploaded["keys"].(object)["ed25519:A1"], shown.Get("keys.ed25519:A1").Str)
		require.True(t, shown.Get("signatures."+`@alice\:hs`+".ed25519:A1").Exists(), got.body)
		require.Equal(t, "{}", got.get("device_keys", "@nobody:hs").Raw, "a user without keys has an empty map")
		require.Equal(t, "{}", got.get("failures").Raw)

		g.ok(alice, "/keys/upload", object{"device_keys": uploaded})
		users, _ = g.changed(last, "")
		require.Empty(t, users, "the same keys are no change")
		g.ok(alice, "/keys/upload", object{"device_keys": deviceKeys(t, alice, newSigningKey())})
		users, _ = g.changed(last, "")
		require.Equal(t, []string{"@alice:hs"}, users)

		g.ok(bob, "/keys/upload", object{"device_keys": deviceKeys(t, bob, newSigningKey())})
		only := g.ok(alice, "/keys/query", object{"device_keys": object{"@bob:hs": []string{"B/1", "other"}, "@alice:hs": []string{"other"}}})
		require.True(t, only.get("device_keys", "@bob:hs", "B/1").Exists())
		require.Equal(t, "{}", only.get("device_keys", "@alice:hs").Raw)
	})
}

func TestOneTimeKeysAreCounted(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		d := g.login("alice", "A1")
		body := object{
			"one_time_keys": object{curve + ":1": oneTime(d, "one"), curve + ":2": oneTime(d, "two"), "plain:1": "text"},
			"fallback_keys": object{curve + ":f": oneTime(d, "fallback")},
		}
		a := g.ok(d, "/keys/upload", body)
		require.JSONEq(t, `{"one_time_key_counts":{"signed_curve25519":2,"plain":1}}`, a.body)
		require.Equal(t, map[string]int64{curve: 2, "plain": 1}, g.counts(d).GetOneTime())
		require.Equal(t, []string{curve}, g.counts(d).GetUnusedFallback())
		g.ok(d, "/keys/upload", body)
		require.Equal(t, map[string]int64{curve: 2, "plain": 1}, g.counts(d).GetOneTime(), "the same keys count once")

		for name, other := range map[string]any{curve + ":1": oneTime(d, "changed"), "plain:1": "changed"} {
			a := g.fails(d, "/keys/upload", object{"one_time_keys": object{curve + ":3": oneTime(d, "three"), name: other}}, 400, "M_UNKNOWN")
			require.Contains(t, a.get("error").Str, "One time key "+name+" already exists. Old key: ")
		}
		require.Equal(t, map[string]int64{curve: 2, "plain": 1}, g.counts(d).GetOneTime(), "nothing of a refused upload is stored")
		require.JSONEq(t, `{"one_time_key_counts":{"signed_curve25519":2,"plain":1}}`, g.ok(d, "/keys/upload", "").body)
	})
}

func TestUploadsThatAreRefused(t *testing.T) {
	cfg := keys.Default()
	cfg.MaxOneTimeKeys = 5
	g := newRig(t, databases["sqlite"](t), nil, cfg)
	d := g.login("alice", "A1")
	many := object{}
	for i := range 6 {
		many[fmt.Sprintf("%s:%d", curve, i)] = oneTime(d, "x")
	}
	fallbacks := object{}
	for i := range 11 {
		fallbacks[fmt.Sprintf("a%d:1", i)] = "x"
	}
	with := func(name string, value any) object {
		o := deviceKeys(t, d, newSigningKey())
		if value == nil {
			delete(o, name)
		} else {
			o[name] = value
		}
		return object{"device_keys": o}
	}
	for name, tt := range map[string]struct {
		body   any
		status int
		code   string
	}{
		"no JSON":                    {"{", 400, "M_NOT_JSON"},
		"no object":                  {"[]", 400, "M_BAD_JSON"},
		"device keys no object":      {`{"device_keys":[]}`, 400, "M_BAD_JSON"},
		"another user":               {with("user_id", "@bob:hs"), 400, "M_BAD_JSON"},
		"another device":             {with("device_id", "A2"), 400, "M_BAD_JSON"},
		"no algorithms":              {with("algorithms", nil), 400, "M_BAD_JSON"},
		"algorithms no list":         {with("algorithms", "x"), 400, "M_BAD_JSON"},
		"no keys":                    {with("keys", nil), 400, "M_BAD_JSON"},
		"a key no text":              {with("keys", object{"a:A1": 1}), 400, "M_BAD_JSON"},
		"empty keys":                 {with("keys", object{}), 400, "M_BAD_JSON"},
		"a key of another device":    {with("keys", object{"ed25519:A1": "k", "ed25519:A2": "k"}), 400, "M_BAD_JSON"},
		"a key without algorithm":    {with("keys", object{":A1": "k"}), 400, "M_BAD_JSON"},
		"an empty key of a device":   {with("keys", object{"ed25519:A1": ""}), 400, "M_BAD_JSON"},
		"no signatures":              {with("signatures", nil), 400, "M_BAD_JSON"},
		"signatures of another form": {with("signatures", object{"@alice:hs": "x"}), 400, "M_BAD_JSON"},
		"a fraction":                 {with("x", 1.5), 400, "M_BAD_JSON"},
		"large device keys":          {with("x", strings.Repeat("x", 16<<10)), 413, "M_TOO_LARGE"},
		"one-time keys no object":    {object{"one_time_keys": []string{}}, 400, "M_BAD_JSON"},
		"a name without a colon":     {object{"one_time_keys": object{"x": "y"}}, 400, "M_INVALID_PARAM"},
		"a name without an id":       {object{"one_time_keys": object{"x:": "y"}}, 400, "M_INVALID_PARAM"},
		"a name without algorithm":   {object{"one_time_keys": object{":x": "y"}}, 400, "M_INVALID_PARAM"},
		"a long name":                {object{"one_time_keys": object{"x:" + strings.Repeat("x", 256): "y"}}, 400, "M_INVALID_PARAM"},
		"a key that is a number":     {object{"one_time_keys": object{"x:y": 1}}, 400, "M_BAD_JSON"},
		"a key without a key":        {object{"one_time_keys": object{"x:y": object{"signatures": object{}}}}, 400, "M_BAD_JSON"},
		"a key without signatures":   {object{"one_time_keys": object{"x:y": object{"key": "k"}}}, 400, "M_BAD_JSON"},
		"members of other names":     {object{"one_time_keys": object{"x:y": object{"KEY": "k", "SIGNATURES": object{}}}}, 400, "M_BAD_JSON"},
		"an empty key":               {object{"one_time_keys": object{"x:y": object{"key": "", "signatures": object{}}}}, 400, "M_BAD_JSON"},
		"an empty string":            {object{"one_time_keys": object{"x:y": ""}}, 400, "M_BAD_JSON"},
		"a key that is null":         {object{"one_time_keys": object{"x:y": nil}}, 400, "M_BAD_JSON"},
		"null in a key":              {object{"one_time_keys": object{"x:y": object{"key": nil, "signatures": nil}}}, 400, "M_BAD_JSON"},
		"an unsigned string":         {object{"one_time_keys": object{curve + ":1": "justastring"}}, 400, "M_BAD_JSON"},
		"an unsigned key":            {object{"one_time_keys": object{curve + ":1": object{"key": "k", "signatures": object{}}}}, 400, "M_BAD_JSON"},
		"signed by another user":     {object{"one_time_keys": object{curve + ":1": oneTime(device{"bob", "A1"}, "k")}}, 400, "M_BAD_JSON"},
		"signed by another device":   {object{"one_time_keys": object{curve + ":1": oneTime(device{"alice", "A2"}, "k")}}, 400, "M_BAD_JSON"},
		"an unsigned fallback key":   {object{"fallback_keys": object{curve + ":1": "justastring"}}, 400, "M_BAD_JSON"},
		"a large key":                {object{"one_time_keys": object{"x:y": strings.Repeat("x", 4<<10)}}, 413, "M_TOO_LARGE"},
		"too many keys":              {object{"one_time_keys": many}, 400, "M_RESOURCE_LIMIT_EXCEEDED"},
		"two of an algorithm":        {object{"fallback_keys": object{"x:1": "y", "x:2": "y"}}, 400, "M_INVALID_PARAM"},
		"too many fallback keys":     {object{"fallback_keys": fallbacks}, 400, "M_RESOURCE_LIMIT_EXCEEDED"},
	} {
		t.Run(name, func(t *testing.T) {
			g.at(t).fails(d, "/keys/upload", tt.body, tt.status, tt.code)
			require.Empty(t, g.counts(d).GetOneTime())
		})
	}
	users, _ := g.changed(0, "")
	require.Empty(t, users)
	g.fails(device{"alice", "gone"}, "/keys/upload", object{"one_time_keys": object{"x:y": "z"}}, 401, "M_UNKNOWN_TOKEN")
}

// TestTheFirstUploadOfALaterDeviceIsBounded has a device whose id an earlier one had upload too many keys.
func TestTheFirstUploadOfALaterDeviceIsBounded(t *testing.T) {
	cfg := keys.Default()
	cfg.MaxOneTimeKeys = 2
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, open(t), nil, cfg)
			d := g.login("alice", "A1")
			two := object{curve + ":1": oneTime(d, "one"), curve + ":2": oneTime(d, "two")}
			three := with(two, curve+":3", oneTime(d, "three"))
			g.ok(d, "/keys/upload", object{"one_time_keys": two})
			g.people.drop("alice", "A1")
			g.login("alice", "A1")
			g.fails(d, "/keys/upload", object{"one_time_keys": three}, 400, "M_RESOURCE_LIMIT_EXCEEDED")
			g.ok(d, "/keys/upload", object{"one_time_keys": two})
			g.fails(d, "/keys/upload", object{"one_time_keys": three}, 400, "M_RESOURCE_LIMIT_EXCEEDED")
			require.Equal(t, map[string]int64{curve: 2}, g.counts(d).GetOneTime())
		})
	}
}

// TestKeysAsClientsUploadThem uploads keys in the forms in which libraries do: libolm and vodozemac give their keys short ids in
// Base64, some with slashes, fallback keys say so, and keys that are not signed are strings.
func TestKeysAsClientsUploadThem(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		d := device{"alice", "A:1"} // no client makes such an id, but a user may
		g.login(d.user, d.id)
		fallback := oneTime(d, "fallback")
		fallback["fallback"] = true
		a := g.ok(d, "/keys/upload", object{
			"device_keys":   deviceKeys(t, d, newSigningKey()),
			"one_time_keys": object{curve + ":AAAAHg": oneTime(d, "one"), curve + ":AAAAAAAAA/+": oneTime(d, "two"), "curve25519:AAAAHQ": "plain"},
			"fallback_keys": object{curve + ":AAAAGj": fallback},
		})
		require.JSONEq(t, `{"one_time_key_counts":{"signed_curve25519":2,"curve25519":1}}`, a.body)
		g.ok(d, "/keys/upload", `{"device_keys":null,"one_time_keys":null,"fallback_keys":null}`)
		g.ok(d, "/keys/upload", `{"one_time_keys":{},"fallback_keys":{}}`)
	})
}
