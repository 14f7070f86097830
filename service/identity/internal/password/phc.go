package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Params are argon2id's costs (RFC 9106).
type Params struct {
	// MemoryKiB is the memory of one hash, in KiB.
	MemoryKiB uint32 `yaml:"memory_kib"`
	// Iterations is the number of passes over the memory.
	Iterations uint32 `yaml:"iterations"`
	// Parallelism is the number of lanes.
	Parallelism uint8 `yaml:"parallelism"`
}

const (
	saltLength = 16
	keyLength  = 32
)

var errFormat = errors.New("stored password hash is not an argon2id PHC string")

// hash is a parsed PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$key, base64 without padding.
type hash struct {
	params    Params
	salt, key []byte
}

func (h hash) String() string {
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		h.params.MemoryKiB, h.params.Iterations, h.params.Parallelism, enc.EncodeToString(h.salt), enc.EncodeToString(h.key))
}

func parse(phc string) (hash, error) {
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return hash{}, errFormat
	}
	var h hash
	for i, field := range strings.Split(parts[3], ",") {
		name, value, _ := strings.Cut(field, "=")
		n, err := strconv.ParseUint(value, 10, 32)
		if i > 2 || err != nil || name != [...]string{"m", "t", "p"}[i] || n == 0 {
			return hash{}, errFormat
		}
		switch name {
		case "m":
			h.params.MemoryKiB = uint32(n)
		case "t":
			h.params.Iterations = uint32(n)
		case "p":
			if n > 255 {
				return hash{}, errFormat
			}
			h.params.Parallelism = uint8(n)
		}
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return hash{}, errFormat
	}
	if h.key, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(h.key) < 16 || h.params.Parallelism == 0 {
		return hash{}, errFormat
	}
	return h, nil
}
