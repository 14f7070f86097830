package keys_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/keys"
)

// TestSignaturesOfManyUsersAreReadAtOnce names many users, with keys and without.
func TestSignaturesOfManyUsersAreReadAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		x := newSigners(t, g)
		body := object{"@bob:hs": object{
			x.b.master.public(): x.a.userSigning.sign(t, x.b.key(t, "master", x.b.master), "alice", x.a.userSigning.public()),
		}}
		for i := range 300 {
			body[userID(fmt.Sprint("known", i))] = object{"KEY": object{}}
			body[fmt.Sprintf("@far%d:elsewhere", i%10)] = object{"KEY": object{}}
		}
		for i := range 20_000 {
			body[userID(fmt.Sprint("nobody", i))] = object{}
		}
		before := g.queries()
		a := g.ok(x.alice, signaturesUpload, body)
		require.Less(t, g.queries()-before, uint64(60), "not some for each user")
		failed := a.get("failures").Map()
		require.Len(t, failed, 310, "who has no key is left out")
		require.Equal(t, "M_NOT_FOUND", a.get("failures", "@known7:hs", "KEY", "errcode").Str)
		require.Equal(t, "M_NOT_FOUND", a.get("failures", "@far7:elsewhere", "KEY", "errcode").Str)
		require.Len(t, g.query(x.alice, "bob").get("master_keys", "@bob:hs", "signatures", "@alice:hs").Map(), 1)

		before = g.queries()
		require.JSONEq(t, `{"failures":{}}`, g.ok(x.alice, signaturesUpload, object{"@bob:hs": object{}}).body)
		require.Less(t, g.queries()-before, uint64(20))
	})
}

func TestSignaturesThatAreTooManyOrOfNobody(t *testing.T) {
	cfg := keys.Default()
	cfg.SignatureKeys = 3
	g := newRig(t, databases["sqlite"](t), nil, cfg)
	alice := g.login("alice", "A1")
	for name, tt := range map[string]struct {
		body any
		code string
	}{
		"too many of one user": {object{"@a:hs": object{"A": object{}, "B": object{}, "C": object{}, "D": object{}}}, "M_INVALID_PARAM"},
		"too many together":    {object{"@a:hs": object{"A": object{}, "B": object{}}, "@b:hs": object{"C": object{}, "D": object{}}}, "M_INVALID_PARAM"},
		"no user id":           {object{"alice": object{"A": object{}}}, "M_INVALID_PARAM"},
		"no server":            {object{"@alice": object{"A": object{}}}, "M_INVALID_PARAM"},
		"no user id, no key":   {object{"": object{}}, "M_INVALID_PARAM"},
		"a NUL":                {object{"@a\x00:hs": object{"A": object{}}}, "M_BAD_JSON"},
		"a long user id":       {object{"@" + strings.Repeat("a", 255) + ":hs": object{}}, "M_INVALID_PARAM"},
	} {
		t.Run(name, func(t *testing.T) { g.at(t).fails(alice, signaturesUpload, tt.body, 400, tt.code) })
	}
	a := g.ok(alice, signaturesUpload, object{"@a:hs": object{"A": object{}, "B": object{}, "C": object{}}})
	require.Len(t, a.get("failures", "@a:hs").Map(), 3)
}

// TestSignaturesAreCheckedOutOfTurn uploads signatures of which none is valid while the user's keys are being changed.
func TestSignaturesAreCheckedOutOfTurn(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		x := newSigners(t, g)
		checked := make(chan answer, 1)
		g.people.setAsking(func() { // it is alice's turn
			go func() { checked <- g.post(x.second, signaturesUpload, object{"@alice:hs": object{"A9": x.keys["A1"]}}) }()
			select {
			case a := <-checked:
				checked <- a
			case <-time.After(patience):
				t.Error("the signatures waited")
			}
		})
		g.ok(x.alice, "/keys/upload", object{"one_time_keys": object{curve + ":1": oneTime(x.alice, "one")}})
		require.Equal(t, "M_NOT_FOUND", (<-checked).get("failures", "@alice:hs", "A9", "errcode").Str)
	})
}

// TestSignaturesOfWhatChangedMeanwhile changes keys between the check of signatures and their being written: none stays of or by
// a key that is gone.
func TestSignaturesOfWhatChangedMeanwhile(t *testing.T) {
	type change func(t *testing.T, g *rig, x *signers)
	removeSecond := func(t *testing.T, g *rig, _ *signers) {
		g.people.remove("alice", "A2")
		await(t, "the removal is followed", func() bool { return g.rows("device_key", "alice") == 1 })
	}
	replace := func(d func(x *signers) device, to func(x *signers) cross) change {
		return func(t *testing.T, g *rig, x *signers) {
			// Another instance knows of no turns here.
			g.ok(d(x), deviceSigning, with(to(x).upload(t), "auth", proof))
		}
	}
	for name, tt := range map[string]struct {
		upload func(t *testing.T, x *signers) object
		change change
		code   string
		user   string
		key    func(x *signers) string
	}{
		"the signed device is removed": {
			func(t *testing.T, x *signers) object {
				return object{"@alice:hs": object{"A2": x.a.self.sign(t, x.keys["A2"], "alice", x.a.self.public())}}
			}, removeSecond, "M_NOT_FOUND", "@alice:hs", func(*signers) string { return "A2" },
		},
		"the signing device is removed": {
			func(t *testing.T, x *signers) object {
				return object{"@alice:hs": object{x.a.master.public(): x.keyOf["A2"].sign(t, x.a.key(t, "master", x.a.master), "alice", "A2")}}
			}, removeSecond, "M_INVALID_SIGNATURE", "@alice:hs", func(x *signers) string { return x.a.master.public() },
		},
		"the other user has another master key": {
			func(t *testing.T, x *signers) object {
				return object{"@bob:hs": object{x.b.master.public(): x.a.userSigning.sign(
					t, x.b.key(t, "master", x.b.master), "alice", x.a.userSigning.public())}}
			}, replace(func(x *signers) device { return x.bob }, func(*signers) cross { return newCross("bob") }),
			"M_NOT_FOUND", "@bob:hs", func(x *signers) string { return x.b.master.public() },
		},
		"the signer has another self-signing key": {
			func(t *testing.T, x *signers) object {
				return object{"@alice:hs": object{"A2": x.a.self.sign(t, x.keys["A2"], "alice", x.a.self.public())}}
			}, replace(func(x *signers) device { return x.alice }, func(x *signers) cross {
				return cross{x.a.user, x.a.master, newSigningKey(), x.a.userSigning}
			}), "M_INVALID_SIGNATURE", "@alice:hs", func(*signers) string { return "A2" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			for kind, open := range databases {
				t.Run(kind, func(t *testing.T) {
					url := open(t)
					g := newRig(t, url, nil, keys.Default())
					x := newSigners(t, g)
					other := newRig(t, url, g, keys.Default())
					g.people.setAsking(func() { tt.change(t, other, x) })
					a := g.ok(x.alice, signaturesUpload, tt.upload(t, x))
					require.Equal(t, tt.code, a.get("failures", tt.user, tt.key(x), "errcode").Str, a.body)
					require.Zero(t, g.rows("key_signature", "alice")+g.rows("key_signature", "bob"))
				})
			}
		})
	}
}
