package event

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"hongyan/matrix"
	"hongyan/matrix/internal/rawjson"
)

// appendHashes appends the member "hashes", with the comma before it, for the content hash of an
// event given without hashes, signatures and unsigned.
func appendHashes(dst, hashed []byte) []byte {
	sum := sha256.Sum256(hashed)
	dst = append(dst, `,"hashes":{"sha256":"`...)
	dst = base64.RawStdEncoding.AppendEncode(dst, sum[:])
	return append(dst, `"}`...)
}

// hashID makes the event id from the redacted event without signatures (rooms/v3 and rooms/v4, "Event IDs").
func hashID(rules *Rules, signed []byte) matrix.EventID {
	sum := sha256.Sum256(signed)
	var id [1 + 43]byte
	id[0] = '$'
	if rules.SlashedEventIDs {
		base64.RawStdEncoding.Encode(id[1:], sum[:])
	} else {
		base64.RawURLEncoding.Encode(id[1:], sum[:])
	}
	return matrix.EventID(id[:])
}

// ReferenceHash is by what events of versions with OwnEventIDs name this one beside its id. It stays the same when the event
// is redacted.
func (e *Event) ReferenceHash() (string, error) {
	signed, err := appendRedacted(make([]byte, 0, len(e.json)), e.rules, e.json, false)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(signed)
	return base64.RawStdEncoding.EncodeToString(sum[:]), nil
}

// referenceID computes the id of a complete, canonical event, or finds it there.
func referenceID(rules *Rules, json []byte) (matrix.EventID, error) {
	if rules.OwnEventIDs {
		id := rawjson.Text(rawjson.Get(json, "event_id"))
		if id == "" {
			return "", fmt.Errorf("event_id is missing")
		}
		return matrix.EventID(id), nil
	}
	signed, err := appendRedacted(make([]byte, 0, len(json)), rules, json, false)
	if err != nil {
		return "", err
	}
	return hashID(rules, signed), nil
}

// VerifyContentHash checks that the content hash covers the event as it is. It fails for an event
// that was redacted (server-server API, "Validating hashes and signatures on received events").
func (e *Event) VerifyContentHash() error {
	want := rawjson.Text(rawjson.Get(rawjson.Get(e.json, "hashes"), "sha256"))
	stripped := make([]byte, 0, len(e.json))
	stripped = append(stripped, '{')
	for it := rawjson.Object(e.json); it.Next(); {
		switch string(it.Key) {
		case "hashes", "signatures", "unsigned":
		default:
			stripped = append(appendRawKey(stripped, it.Key), it.Value...)
		}
	}
	sum := sha256.Sum256(append(stripped, '}'))
	if base64.RawStdEncoding.EncodeToString(sum[:]) != want {
		return fmt.Errorf("event %s: its content hash does not match", e.id)
	}
	return nil
}

// VerifySignature checks the signature of a server with one of its keys.
func (e *Event) VerifySignature(server matrix.ServerName, keyID string, key ed25519.PublicKey) error {
	text := rawjson.Text(rawjson.Get(e.signaturesOf(server), keyID))
	signature, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(signature) != ed25519.SignatureSize {
		return fmt.Errorf("event %s: no signature of %s with key %s", e.id, server, keyID)
	}
	signed, err := appendRedacted(nil, e.rules, e.json, false)
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, signed, signature) {
		return fmt.Errorf("event %s: the signature of %s is wrong", e.id, server)
	}
	return nil
}

// SignedBy tells whether the event bears any signature of the server. Whether it is valid is
// checked when an event arrives.
func (e *Event) SignedBy(server matrix.ServerName) bool {
	it := rawjson.Object(e.signaturesOf(server))
	return it.Next()
}

func (e *Event) signaturesOf(server matrix.ServerName) []byte {
	return rawjson.Get(rawjson.Get(e.json, "signatures"), string(server))
}
