package keys_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/keys"
)

const signaturesUpload = "/keys/signatures/upload"

// signers are two users with cross-signing keys, of whom alice has two devices with keys.
type signers struct {
	alice, second, bob device
	keyOf              map[string]signingKey
	keys               map[string]object
	a, b               cross
}

func newSigners(t *testing.T, g *rig) *signers {
	x := &signers{
		alice: g.login("alice", "A1"), second: g.login("alice", "A2"), bob: g.login("bob", "B1"),
		keyOf: map[string]signingKey{}, keys: map[string]object{}, a: newCross("alice"), b: newCross("bob"),
	}
	for _, d := range []device{x.alice, x.second, x.bob} {
		x.keyOf[d.id] = newSigningKey()
		x.keys[d.id] = deviceKeys(t, d, x.keyOf[d.id])
		g.ok(d, "/keys/upload", object{"device_keys": x.keys[d.id]})
	}
	g.ok(x.alice, deviceSigning, x.a.upload(t))
	g.ok(x.bob, deviceSigning, x.b.upload(t))
	return x
}

func TestSignaturesAreShownToWhoMaySeeThem(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		x := newSigners(t, g)
		_, last := g.changed(0, "")
		aliceMaster, bobMaster := x.a.key(t, "master", x.a.master), x.b.key(t, "master", x.b.master)
		a := g.ok(x.alice, signaturesUpload, object{
			"@alice:hs": object{
				"A1":                x.a.self.sign(t, x.keys["A1"], "alice", x.a.self.public()),
				x.a.master.public(): x.keyOf["A1"].sign(t, x.keyOf["A2"].sign(t, aliceMaster, "alice", "A2"), "alice", "A1"),
			},
			"@bob:hs": object{x.b.master.public(): x.a.userSigning.sign(t, bobMaster, "alice", x.a.userSigning.public())},
		})
		require.JSONEq(t, `{"failures":{}}`, a.body)

		for _, d := range []device{x.alice, x.bob} {
			a := g.query(d, "alice", "bob")
			signed := a.get("device_keys", "@alice:hs", "A1", "signatures", "@alice:hs")
			require.Len(t, signed.Map(), 2, "by itself and the self-signing key")
			require.Len(t, a.get("device_keys", "@alice:hs", "A2", "signatures", "@alice:hs").Map(), 1)
			require.Len(t, a.get("master_keys", "@alice:hs", "signatures", "@alice:hs").Map(), 2)
			byAlice := a.get("master_keys", "@bob:hs", "signatures", "@alice:hs").Map()
			require.Len(t, byAlice, map[bool]int{true: 1, false: 0}[d == x.alice], "what alice trusts is hers to know")
		}

		users, _ := g.changed(last, "")
		require.Equal(t, []string{"@alice:hs"}, users)
		users, _ = g.changed(last, "@bob:hs")
		require.Equal(t, []string{"@alice:hs"}, users)
		users, last = g.changed(last, "@alice:hs")
		require.ElementsMatch(t, []string{"@alice:hs", "@bob:hs"}, users)

		g.ok(x.second, signaturesUpload, object{
			"@bob:hs": object{x.b.master.public(): x.a.userSigning.sign(t, bobMaster, "alice", x.a.userSigning.public())},
		})
		users, _ = g.changed(last, "@alice:hs")
		require.Empty(t, users, "the same signature is no change")

		// With other keys the signatures go.
		g.ok(x.alice, deviceSigning, with(newCross("alice").upload(t), "auth", proof))
		a = g.query(x.alice, "alice", "bob")
		require.Len(t, a.get("device_keys", "@alice:hs", "A1", "signatures", "@alice:hs").Map(), 1)
		require.False(t, a.get("master_keys", "@bob:hs", "signatures").Exists())
		require.False(t, a.get("master_keys", "@alice:hs", "signatures").Exists())
	})
}

func TestSignaturesThatFail(t *testing.T) {
	g := newRig(t, databases["sqlite"](t), nil, keys.Default())
	x := newSigners(t, g)
	carol := g.login("carol", "C1")
	aliceMaster, bobMaster := x.a.key(t, "master", x.a.master), x.b.key(t, "master", x.b.master)
	_, last := g.changed(0, "")
	by := func(k signingKey, o object, user, id string) object { return k.sign(t, o, user, id) }
	self, user := x.a.self.public(), x.a.userSigning.public()
	wrong := object{"@alice:hs": object{"ed25519:" + self: "AAAA"}}
	for name, tt := range map[string]struct {
		caller  device
		of, key string
		object  object
		code    string
	}{
		"an unknown device":         {x.alice, "@alice:hs", "A9", x.keys["A1"], "M_NOT_FOUND"},
		"another user's device":     {x.alice, "@bob:hs", "B1", by(x.a.userSigning, x.keys["B1"], "alice", user), "M_NOT_FOUND"},
		"a user without keys":       {x.alice, "@carol:hs", "C1", bobMaster, "M_NOT_FOUND"},
		"own self-signing key":      {x.alice, "@alice:hs", self, x.a.key(t, "self_signing", x.a.self), "M_NOT_FOUND"},
		"no signature":              {x.alice, "@alice:hs", "A1", x.keys["A1"], "M_INVALID_SIGNATURE"},
		"a wrong signature":         {x.alice, "@alice:hs", "A1", with(x.keys["A1"], "signatures", wrong), "M_INVALID_SIGNATURE"},
		"by another key":            {x.alice, "@alice:hs", "A1", by(x.a.userSigning, x.keys["A1"], "alice", user), "M_INVALID_SIGNATURE"},
		"by another, named falsely": {x.alice, "@alice:hs", "A1", by(x.a.userSigning, x.keys["A1"], "alice", self), "M_INVALID_SIGNATURE"},
		"a changed device":          {x.alice, "@alice:hs", "A1", by(x.a.self, with(x.keys["A1"], "x", 1), "alice", self), "M_INVALID_SIGNATURE"},
		"a changed master":          {x.alice, "@alice:hs", x.a.master.public(), by(x.keyOf["A1"], with(aliceMaster, "x", 1), "alice", "A1"), "M_INVALID_SIGNATURE"},
		"master not signed":         {x.alice, "@alice:hs", x.a.master.public(), aliceMaster, "M_INVALID_SIGNATURE"},
		"master by no device":       {x.alice, "@alice:hs", x.a.master.public(), by(x.keyOf["A1"], aliceMaster, "alice", "A9"), "M_INVALID_SIGNATURE"},
		"master by another device":  {x.alice, "@alice:hs", x.a.master.public(), by(x.keyOf["A1"], aliceMaster, "alice", "A2"), "M_INVALID_SIGNATURE"},
		"other by self-signing":     {x.alice, "@bob:hs", x.b.master.public(), by(x.a.self, bobMaster, "alice", self), "M_INVALID_SIGNATURE"},
		"in another's name":         {x.bob, "@alice:hs", x.a.master.public(), by(x.a.userSigning, aliceMaster, "alice", user), "M_INVALID_SIGNATURE"},
		"without keys of one's own": {carol, "@bob:hs", x.b.master.public(), by(x.a.userSigning, bobMaster, "carol", user), "M_INVALID_SIGNATURE"},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.at(t).ok(tt.caller, signaturesUpload, object{tt.of: object{tt.key: tt.object}})
			require.Equal(t, tt.code, a.get("failures", tt.of, tt.key, "errcode").Str, a.body)
			require.NotEmpty(t, a.get("failures", tt.of, tt.key, "error").Str)
		})
	}
	users, _ := g.changed(last, "@alice:hs")
	require.Empty(t, users)

	// One that fails does not hold up the others.
	a := g.ok(x.alice, signaturesUpload, object{"@alice:hs": object{
		"A1": x.keys["A1"], "A2": by(x.a.self, x.keys["A2"], "alice", self),
	}})
	require.Len(t, a.get("failures", "@alice:hs").Map(), 1)
	require.Len(t, g.query(x.bob, "alice").get("device_keys", "@alice:hs", "A2", "signatures", "@alice:hs").Map(), 2)

	for body, code := range map[string]string{
		"[]": "M_BAD_JSON", `{"@a:hs":[]}`: "M_BAD_JSON", `{"@a:hs":{"A":"x"}}`: "M_BAD_JSON", `{"@a:hs":{"A":{"signatures":1}}}`: "M_BAD_JSON", "{": "M_NOT_JSON",
	} {
		g.fails(x.alice, signaturesUpload, body, 400, code)
	}
}
