package signed

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
)

// Ed25519 is the algorithm of signatures, as it stands before the colon in the name of a key.
const Ed25519 = "ed25519"

// Signatures are signatures by user and name of the key (ALGORITHM:ID).
type Signatures map[string]map[string]string

// Object is a signed JSON object.
type Object struct {
	// Bare is the object without signatures and "unsigned", in canonical JSON: what is signed.
	Bare []byte
	// Signatures are those that came with it.
	Signatures Signatures
	// Fields are what keys have. Those that are missing are empty.
	Fields
}

// Fields are the members that a server looks at.
type Fields struct {
	UserID     string            `json:"user_id"`
	DeviceID   string            `json:"device_id"`
	Algorithms []string          `json:"algorithms"`
	Usage      []string          `json:"usage"`
	Keys       map[string]string `json:"keys"`
}

// Parse reads an object. Errors are M_BAD_JSON: no object, a member of another type, a number that canonical JSON has not.
func Parse(raw []byte) (*Object, error) {
	raw, err := canonicaljson.CanonicalizeObject(raw)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, badJSON(err)
	}
	o := &Object{}
	if signatures := members["signatures"]; signatures != nil {
		if err := json.Unmarshal(signatures, &o.Signatures); err != nil {
			return nil, badJSON(err)
		}
	}
	delete(members, "signatures")
	delete(members, "unsigned")
	if o.Bare, err = canonicaljson.Marshal(members); err != nil {
		return nil, badJSON(err)
	}
	// Member by member: encoding/json would take "KEYS" for "keys".
	for name, field := range map[string]any{
		"user_id": &o.UserID, "device_id": &o.DeviceID, "algorithms": &o.Algorithms, "usage": &o.Usage, "keys": &o.Keys,
	} {
		if value := members[name]; value != nil {
			if err := json.Unmarshal(value, field); err != nil {
				return nil, badJSON(err)
			}
		}
	}
	return o, nil
}

func badJSON(cause error) error {
	return matrix.NewError(matrix.CodeBadJSON, "A key is not of the form that keys have.").WithCause(cause)
}

// Same tells whether two objects are the same but for their signatures.
func (o *Object) Same(other *Object) bool { return bytes.Equal(o.Bare, other.Bare) }

// Only leaves the signatures of one user.
func (o *Object) Only(userID string) {
	own := o.Signatures[userID]
	o.Signatures = Signatures{}
	if len(own) > 0 {
		o.Signatures[userID] = own
	}
}

// Add adds a signature.
func (o *Object) Add(userID, key, signature string) {
	if o.Signatures == nil {
		o.Signatures = Signatures{}
	}
	if o.Signatures[userID] == nil {
		o.Signatures[userID] = map[string]string{}
	}
	o.Signatures[userID][key] = signature
}

// JSON returns the object with its signatures, in canonical JSON, and with unsigned where it is not nil.
func (o *Object) JSON(unsigned any) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(o.Bare, &members); err != nil {
		return nil, fmt.Errorf("decode a key: %w", err)
	}
	for name, value := range map[string]any{"signatures": o.Signatures, "unsigned": unsigned} {
		if value == nil || name == "signatures" && len(o.Signatures) == 0 {
			continue
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode a key: %w", err)
		}
		members[name] = raw
	}
	return canonicaljson.Marshal(members)
}

// Verified tells whether the object bears a valid signature of a user's ed25519 key of this name (without the algorithm).
func (o *Object) Verified(userID, keyID, publicKey string) bool {
	signature, ok := o.Signatures[userID][Ed25519+":"+keyID]
	if !ok {
		return false
	}
	key, err := decode(publicKey)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return false
	}
	raw, err := decode(signature)
	return err == nil && len(raw) == ed25519.SignatureSize && ed25519.Verify(key, o.Bare, raw)
}

// PublicKey returns the public key of a cross-signing key, which has exactly one, named after itself; "" where it is not of
// this form.
func (o *Object) PublicKey() string {
	if len(o.Keys) != 1 {
		return ""
	}
	for name, key := range o.Keys {
		raw, err := decode(key)
		if name == Ed25519+":"+key && err == nil && len(raw) == ed25519.PublicKeySize && !strings.HasSuffix(key, "=") {
			return key
		}
	}
	return ""
}

// decode reads Base64, with or without padding.
func decode(text string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
}
