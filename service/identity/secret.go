package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
)

// Prefixes tell the kinds of tokens apart, for people and for programs that look for leaked secrets.
const (
	prefixAccess  = "hat_"
	prefixRefresh = "hrt_"
	prefixLogin   = "hlt_"
)

// deviceAlphabet are the characters of device ids that the server makes up.
const deviceAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// nameAlphabet are those of user names, without what is easily mistaken.
const nameAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"

// newSecret makes up a token of 256 bits and returns it with its hash, which is what is stored.
func (s *Service) newSecret(prefix string) (secret string, hash []byte, err error) {
	id, err := s.randomID(32)
	if err != nil {
		return "", nil, err
	}
	secret = prefix + id
	return secret, hashSecret(secret), nil
}

// hashSecret is how tokens are stored. They are random and long: a fast hash is right.
func hashSecret(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// randomID returns n random bytes as base64url.
func (s *Service) randomID(n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.deps.Rand, b); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// randomWord returns n random characters of an alphabet of at most 32.
func (s *Service) randomWord(alphabet string, n int) (string, error) {
	word := make([]byte, 0, n)
	var b [16]byte
	for {
		if _, err := io.ReadFull(s.deps.Rand, b[:]); err != nil {
			return "", fmt.Errorf("read randomness: %w", err)
		}
		for _, c := range b {
			if i := int(c & 31); i < len(alphabet) {
				if word = append(word, alphabet[i]); len(word) == n {
					return string(word), nil
				}
			}
		}
	}
}
