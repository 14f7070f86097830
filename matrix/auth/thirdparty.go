package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/matrix/internal/rawjson"
)

// thirdPartyInvite is the rule for an invite that follows from an m.room.third_party_invite.
func (c *change) thirdPartyInvite(invite []byte) error {
	if c.targetIs == event.Ban {
		return forbidden("The user is banned from the room.")
	}
	signed := rawjson.Get(invite, "signed")
	mxid, hasMXID := rawjson.String(rawjson.Get(signed, "mxid"))
	token, hasToken := rawjson.String(rawjson.Get(signed, "token"))
	switch {
	case !hasMXID || !hasToken:
		return forbidden("The third-party invite is not signed.")
	case mxid != string(c.target):
		return forbidden("The third-party invite is for another user.")
	}
	origin := c.state.ThirdPartyInvite(token)
	switch {
	case origin == nil:
		return forbidden("The room has no such third-party invite.")
	case origin.Sender() != c.e.Sender():
		return forbidden("The third-party invite was sent by another user.")
	case len(SigningKeys(origin, signed)) == 0:
		return forbidden("The signature of the third-party invite is wrong.")
	}
	return nil
}

// InviteKey is a public key of an m.room.third_party_invite.
type InviteKey struct {
	// PublicKey is the key as it stands there, ValidityURL where it can be asked whether it is valid; "" where it always is.
	PublicKey, ValidityURL string

	key ed25519.PublicKey
}

// inviteKeys are the public keys in an m.room.third_party_invite.
func inviteKeys(e *event.Event) []InviteKey {
	keys := appendKey(nil, e.ContentValue("public_key"), e.ContentValue("key_validity_url"))
	for it := rawjson.Array(e.ContentValue("public_keys")); it.Next(); {
		keys = appendKey(keys, rawjson.Get(it.Value, "public_key"), rawjson.Get(it.Value, "key_validity_url"))
	}
	return keys
}

func appendKey(keys []InviteKey, value, url []byte) []InviteKey {
	text := rawjson.Text(value)
	if key, ok := decodeBase64(text); ok && len(key) == ed25519.PublicKeySize {
		return append(keys, InviteKey{PublicKey: text, ValidityURL: rawjson.Text(url), key: key})
	}
	return keys
}

// SigningKeys returns the keys of an m.room.third_party_invite with which an object is signed (appendices, "Checking for a
// Signature").
func SigningKeys(invite *event.Event, object []byte) (signing []InviteKey) {
	message, err := unsigned(object)
	if err != nil {
		return nil
	}
	keys := inviteKeys(invite)
	for entity := rawjson.Object(rawjson.Get(object, "signatures")); entity.Next(); {
		for it := rawjson.Object(entity.Value); it.Next(); {
			signature, ok := decodeBase64(rawjson.Text(it.Value))
			if !ok || len(signature) != ed25519.SignatureSize || !strings.HasPrefix(rawjson.Key(it.Key), "ed25519:") {
				continue
			}
			for _, k := range keys {
				if ed25519.Verify(k.key, message, signature) {
					signing = append(signing, k)
				}
			}
		}
	}
	return signing
}

// unsigned is the object in canonical form without signatures and unsigned.
func unsigned(object []byte) ([]byte, error) {
	b := append(make([]byte, 0, len(object)), '{')
	for it := rawjson.Object(object); it.Next(); {
		switch string(it.Key) {
		case "signatures", "unsigned":
		default:
			b = append(canonicaljson.AppendKey(b, rawjson.Key(it.Key)), it.Value...)
		}
	}
	return canonicaljson.Canonicalize(append(b, '}'))
}

// decodeBase64 takes either alphabet, with or without padding, as identity servers differ.
func decodeBase64(s string) ([]byte, bool) {
	s = strings.TrimRight(s, "=")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.RawURLEncoding
	}
	b, err := encoding.DecodeString(s)
	return b, err == nil
}
