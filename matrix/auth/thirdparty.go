package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"slices"
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
	case !signedByAny(origin, signed):
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

// InviteKeys are the public keys of an m.room.third_party_invite, each with each URL once.
func InviteKeys(e *event.Event) []InviteKey {
	keys := appendKey(nil, e.ContentValue("public_key"), e.ContentValue("key_validity_url"))
	for it := rawjson.Array(e.ContentValue("public_keys")); it.Next(); {
		keys = appendKey(keys, rawjson.Get(it.Value, "public_key"), rawjson.Get(it.Value, "key_validity_url"))
	}
	return keys
}

func appendKey(keys []InviteKey, value, url []byte) []InviteKey {
	text := rawjson.Text(value)
	key, ok := decodeBase64(text)
	if !ok || len(key) != ed25519.PublicKeySize {
		return keys
	}
	k := InviteKey{PublicKey: text, ValidityURL: rawjson.Text(url), key: key}
	if slices.ContainsFunc(keys, func(o InviteKey) bool { return o.ValidityURL == k.ValidityURL && o.key.Equal(k.key) }) {
		return keys
	}
	return append(keys, k)
}

// Signature is one of an object's, by an entity and the id of its key.
type Signature struct {
	Entity, KeyID, Text string

	bytes []byte
}

// Signatures are those of an object that are of ed25519 (appendices, "Checking for a Signature").
func Signatures(object []byte) (all []Signature) {
	for entity := rawjson.Object(rawjson.Get(object, "signatures")); entity.Next(); {
		for it := rawjson.Object(entity.Value); it.Next(); {
			s := Signature{Entity: rawjson.Key(entity.Key), KeyID: rawjson.Key(it.Key), Text: rawjson.Text(it.Value)}
			var ok bool
			if s.bytes, ok = decodeBase64(s.Text); ok && len(s.bytes) == ed25519.SignatureSize && strings.HasPrefix(s.KeyID, "ed25519:") {
				all = append(all, s)
			}
		}
	}
	return all
}

// Signed returns those of the keys with which an object is signed, and with each the first of its signatures that is.
func Signed(object []byte, keys []InviteKey, signatures []Signature) (by []InviteKey, with []Signature) {
	message, err := unsigned(object)
	if err != nil {
		return nil, nil
	}
	for _, k := range keys {
		for _, s := range signatures {
			if ed25519.Verify(k.key, message, s.bytes) {
				by, with = append(by, k), append(with, s)
				break
			}
		}
	}
	return by, with
}

// signedByAny tells whether an object is signed with a key of an m.room.third_party_invite.
func signedByAny(invite *event.Event, object []byte) bool {
	by, _ := Signed(object, InviteKeys(invite), Signatures(object))
	return len(by) > 0
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
