package password

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

// ErrBusy says that as many hashes are waiting as may: try again later.
var ErrBusy = errors.New("too many password checks are waiting")

// Hasher hashes with one set of parameters. Its methods may be called concurrently.
type Hasher struct {
	params  Params
	rand    io.Reader
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

// New returns a hasher that runs at most concurrency hashes at once and lets at most queue more callers wait.
func New(params Params, concurrency, queue int, rand io.Reader) *Hasher {
	return &Hasher{params: params, rand: rand, slots: make(chan struct{}, concurrency), queue: int64(queue)}
}

// Hash returns the PHC string of a password. Its errors are ErrBusy and the context's.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltLength)
	if _, err := io.ReadFull(h.rand, salt); err != nil {
		return "", fmt.Errorf("read salt: %w", err)
	}
	key, err := h.derive(ctx, password, h.params, salt, keyLength)
	if err != nil {
		return "", err
	}
	return hash{params: h.params, salt: salt, key: key}.String(), nil
}

// Verify reports whether the password is the one of the PHC string. With an empty string, for an account that
// is not there or has no password, it takes as long and is false.
func (h *Hasher) Verify(ctx context.Context, phc, password string) (bool, error) {
	want := hash{params: h.params, salt: make([]byte, saltLength), key: make([]byte, keyLength)}
	if phc != "" {
		var err error
		if want, err = parse(phc); err != nil {
			return false, err
		}
	}
	key, err := h.derive(ctx, password, want.params, want.salt, uint32(len(want.key)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, want.key) == 1 && phc != "", nil
}

// Waiting is how many callers wait for their turn.
func (h *Hasher) Waiting() int64 { return h.waiting.Load() }

// MostWaiting is how many callers may wait for their turn.
func (h *Hasher) MostWaiting() int64 { return h.queue }

// NeedsRehash reports whether the PHC string was made with other parameters than those in use.
func (h *Hasher) NeedsRehash(phc string) bool {
	old, err := parse(phc)
	return err != nil || old.params != h.params || len(old.key) != keyLength
}

// derive waits for its turn and computes. A computation that has begun is not interrupted.
func (h *Hasher) derive(ctx context.Context, password string, p Params, salt []byte, length uint32) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
	default:
		if h.waiting.Add(1) > h.queue {
			h.waiting.Add(-1)
			return nil, ErrBusy
		}
		defer h.waiting.Add(-1)
		select {
		case h.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a password check: %w", ctx.Err())
		}
	}
	defer func() { <-h.slots }()
	return argon2.IDKey([]byte(password), salt, p.Iterations, p.MemoryKiB, p.Parallelism, length), nil
}
