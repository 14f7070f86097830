package keys_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/canonicaljson"
)

// object is a JSON object.
type object = map[string]any

// signingKey is an ed25519 key.
type signingKey struct{ private ed25519.PrivateKey }

func newSigningKey() signingKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	return signingKey{ed25519.NewKeyFromSeed(seed)}
}

func (k signingKey) public() string {
	return base64.RawStdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
}

// sign returns an object with a further signature.
func (k signingKey) sign(t testing.TB, o object, user, keyID string) object {
	t.Helper()
	bare := maps.Clone(o)
	delete(bare, "signatures")
	delete(bare, "unsigned")
	raw, err := canonicaljson.Marshal(bare)
	require.NoError(t, err)
	signature := base64.RawStdEncoding.EncodeToString(ed25519.Sign(k.private, raw))
	out := maps.Clone(o)
	all, own := object{}, object{}
	if before, ok := o["signatures"].(object); ok {
		maps.Copy(all, before)
		if mine, ok := before[userID(user)].(object); ok {
			maps.Copy(own, mine)
		}
	}
	own["ed25519:"+keyID] = signature
	all[userID(user)] = own
	out["signatures"] = all
	return out
}

// deviceKeys are the signed keys of a device.
func deviceKeys(t testing.TB, d device, k signingKey) object {
	return k.sign(t, object{
		"user_id": userID(d.user), "device_id": d.id,
		"algorithms": []string{"m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"},
		"keys":       object{"curve25519:" + d.id: "curve of " + d.id, "ed25519:" + d.id: k.public()},
	}, d.user, d.id)
}

// oneTime is a signed one-time key; its text tells it from others.
func oneTime(d device, text string) object {
	return object{"key": text, "signatures": object{userID(d.user): object{"ed25519:" + d.id: "signature of " + text}}}
}

// cross are the cross-signing keys of a user.
type cross struct {
	user                      string
	master, self, userSigning signingKey
}

func newCross(user string) cross {
	return cross{user, newSigningKey(), newSigningKey(), newSigningKey()}
}

// key is a cross-signing key as it is uploaded, signed by the master key where it is another one.
func (c cross) key(t testing.TB, usage string, k signingKey) object {
	o := object{
		"user_id": userID(c.user), "usage": []string{usage}, "keys": object{"ed25519:" + k.public(): k.public()},
	}
	if usage == "master" {
		return o
	}
	return c.master.sign(t, o, c.user, c.master.public())
}

// upload is the body that uploads all three.
func (c cross) upload(t testing.TB) object {
	return object{
		"master_key": c.key(t, "master", c.master), "self_signing_key": c.key(t, "self_signing", c.self),
		"user_signing_key": c.key(t, "user_signing", c.userSigning),
	}
}
