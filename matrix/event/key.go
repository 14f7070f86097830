package event

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
)

const keyAlgorithm = "ed25519"

// SigningKey is one ed25519 key pair of a server (appendices, "Signing JSON").
type SigningKey struct {
	version string
	private ed25519.PrivateKey
}

// GenerateSigningKey makes a key from 36 bytes of random; the last four name it.
func GenerateSigningKey(random io.Reader) (SigningKey, error) {
	var b [ed25519.SeedSize + 4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return SigningKey{}, fmt.Errorf("generate signing key: %w", err)
	}
	version := fmt.Sprintf("a_%x", b[ed25519.SeedSize:])
	return SigningKey{version: version, private: ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])}, nil
}

// ParseSigningKey reads a key as Marshal writes it, which is also how other homeservers keep
// theirs: the algorithm, the key's version and the seed in unpadded base64, on one line.
func ParseSigningKey(text []byte) (SigningKey, error) {
	fields := strings.Fields(string(text))
	if len(fields) != 3 || fields[0] != keyAlgorithm {
		return SigningKey{}, fmt.Errorf("parse signing key: it must be %q, a version and a seed", keyAlgorithm)
	}
	if strings.Trim(fields[1], keyVersionChars) != "" {
		return SigningKey{}, fmt.Errorf("parse signing key: its version may only have letters, digits and _")
	}
	seed, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(fields[2], "="))
	if err != nil || len(seed) != ed25519.SeedSize {
		return SigningKey{}, fmt.Errorf("parse signing key: its seed is not %d bytes in base64", ed25519.SeedSize)
	}
	return SigningKey{version: fields[1], private: ed25519.NewKeyFromSeed(seed)}, nil
}

const keyVersionChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// Marshal writes the key, secret included, as one line.
func (k SigningKey) Marshal() []byte {
	return fmt.Appendf(nil, "%s %s %s\n", keyAlgorithm, k.version, base64.RawStdEncoding.EncodeToString(k.private.Seed()))
}

// ID is the signing key identifier, "ed25519:version".
func (k SigningKey) ID() string { return keyAlgorithm + ":" + k.version }

// Public is the public half.
func (k SigningKey) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// String names the key and hides it.
func (k SigningKey) String() string { return k.ID() }

// GoString names the key and hides it.
func (k SigningKey) GoString() string { return "event.SigningKey(" + k.ID() + ")" }

// Signer signs for one server with its current key.
type Signer struct {
	server matrix.ServerName
	key    SigningKey
	// prefix and suffix are the JSON around the signature in "signatures".
	prefix, suffix []byte
}

// NewSigner returns the signer of a server.
func NewSigner(server matrix.ServerName, key SigningKey) *Signer {
	prefix := canonicaljson.AppendKey([]byte{'{'}, string(server))
	prefix = canonicaljson.AppendKey(append(prefix, '{'), key.ID())
	return &Signer{server: server, key: key, prefix: append(prefix, '"'), suffix: []byte(`"}}`)}
}

// Server is whom the signer signs for.
func (s *Signer) Server() matrix.ServerName { return s.server }

// Key is the key in use.
func (s *Signer) Key() SigningKey { return s.key }

// appendSignatures signs the message and appends the value of "signatures".
func (s *Signer) appendSignatures(dst, message []byte) []byte {
	dst = append(dst, s.prefix...)
	dst = base64.RawStdEncoding.AppendEncode(dst, ed25519.Sign(s.key.private, message))
	return append(dst, s.suffix...)
}
