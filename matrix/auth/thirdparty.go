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
	case !signedByAny(signed, inviteKeys(origin)):
		return forbidden("The signature of the third-party invite is wrong.")
	}
	return nil
}

// inviteKeys are the public keys in an m.room.third_party_invite.
func inviteKeys(e *event.Event) []ed25519.PublicKey {
	keys := appendKey(nil, e.ContentValue("public_key"))
	for it := rawjson.Array(e.ContentValue("public_keys")); it.Next(); {
		keys = appendKey(keys, rawjson.Get(it.Value, "public_key"))
	}
	return keys
}

func appendKey(keys []ed25519.PublicKey, value []byte) []ed25519.PublicKey {
	if key, ok := decodeBase64(rawjson.Text(value)); ok && len(key) == ed25519.PublicKeySize {
		return append(keys, key)
	}
	return keys
}

// signedByAny tells whether any signature of the object matches any of the keys (appendices,
// "Checking for a Signature").
func signedByAny(object []byte, keys []ed25519.PublicKey) bool {
	message, err := unsigned(object)
	if err != nil {
		return false
	}
	for entity := rawjson.Object(rawjson.Get(object, "signatures")); entity.Next(); {
		for it := rawjson.Object(entity.Value); it.Next(); {
			signature, ok := decodeBase64(rawjson.Text(it.Value))
			if !ok || len(signature) != ed25519.SignatureSize || !strings.HasPrefix(rawjson.Key(it.Key), "ed25519:") {
				continue
			}
			for _, key := range keys {
				if ed25519.Verify(key, message, signature) {
					return true
				}
			}
		}
	}
	return false
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
