package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// ErrNotFound says that there is no blob of this key.
var ErrNotFound = errors.New("no such blob")

// Store keeps blobs by keys, each written once.
type Store interface {
	// Put keeps what r gives, under a key that nobody has used. When it returns without an error the blob is durable; otherwise
	// nobody can open it, and Delete removes what is left. An error of r is in the chain of Put's. It holds a few MiB of r
	// in memory at most, however much there is.
	Put(ctx context.Context, key string, r io.Reader) (size int64, err error)
	// Open opens a blob; ErrNotFound where there is none. Where it is deleted meanwhile reading may say so too. ctx bounds reading.
	Open(ctx context.Context, key string) (io.ReadSeekCloser, error)
	// Delete removes a blob and what a Put that broke off has left of it. It is no error when there is nothing.
	Delete(ctx context.Context, key string) error
}

// MaxKey is the longest key, in bytes.
const MaxKey = 64

// CheckKey refuses what is no key: keys are 4 to MaxKey lower-case letters and digits.
func CheckKey(key string) error {
	ok := len(key) >= 4 && len(key) <= MaxKey
	for _, c := range []byte(key) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9')
	}
	if !ok {
		return fmt.Errorf("blob key %q: want 4 to %d lower-case letters and digits", key, MaxKey)
	}
	return nil
}
