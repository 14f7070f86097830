package password_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/identity/internal/password"
)

var cheap = password.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}

func TestHash(t *testing.T) {
	h := password.New(cheap, 2, 8, rand.Reader)
	ctx := context.Background()
	one, err := h.Hash(ctx, "secret")
	require.NoError(t, err)
	require.Regexp(t, `^\$argon2id\$v=19\$m=64,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`, one)
	two, err := h.Hash(ctx, "secret")
	require.NoError(t, err)
	require.NotEqual(t, one, two)
	for text, want := range map[string]bool{"secret": true, "Secret": false, "": false, "secret\x00": false} {
		ok, err := h.Verify(ctx, one, text)
		require.NoError(t, err)
		require.Equal(t, want, ok, "%q", text)
	}
	ok, err := h.Verify(ctx, "", "secret")
	require.NoError(t, err)
	require.False(t, ok)
}

// A hash of argon2's reference implementation: echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1 -l 24.
func TestForeignHash(t *testing.T) {
	h := password.New(cheap, 1, 0, rand.Reader)
	const phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	ok, err := h.Verify(context.Background(), phc, "password")
	require.NoError(t, err)
	require.True(t, ok)
	require.True(t, h.NeedsRehash(phc))
}

func TestNeedsRehash(t *testing.T) {
	h := password.New(cheap, 1, 0, rand.Reader)
	phc, err := h.Hash(context.Background(), "x")
	require.NoError(t, err)
	require.False(t, h.NeedsRehash(phc))
	for _, p := range []password.Params{
		{MemoryKiB: 65, Iterations: 1, Parallelism: 1}, {MemoryKiB: 64, Iterations: 2, Parallelism: 1},
		{MemoryKiB: 64, Iterations: 1, Parallelism: 2},
	} {
		require.True(t, password.New(p, 1, 0, rand.Reader).NeedsRehash(phc))
	}
}

func TestBrokenHashes(t *testing.T) {
	h := password.New(cheap, 1, 0, rand.Reader)
	good, err := h.Hash(context.Background(), "x")
	require.NoError(t, err)
	for _, phc := range []string{
		"x", "$argon2id$", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=0", 1), strings.Replace(good, "m=64", "m=x", 1), strings.Replace(good, "p=1", "p=256", 1),
		strings.Replace(good, ",p=1", "", 1), strings.Replace(good, "p=1", "p=1,p=1", 1), good + "$", good + "=", good[:40],
	} {
		_, err := h.Verify(context.Background(), phc, "x")
		require.Error(t, err, phc)
		require.True(t, h.NeedsRehash(phc))
	}
}

// At most the queue waits; who is too many is told at once, and who gives up leaves the queue.
func TestQueue(t *testing.T) {
	h := password.New(cheap, 0, 1, rand.Reader) // no slot is ever free
	waiting, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() {
		_, err := h.Hash(waiting, "x")
		left <- err
	}()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	try := func() error { _, err := h.Hash(gone, "x"); return err }
	require.Eventually(t, func() bool { return errors.Is(try(), password.ErrBusy) }, time.Minute, time.Millisecond)
	require.ErrorIs(t, try(), password.ErrBusy)
	leave()
	require.ErrorIs(t, <-left, context.Canceled)
	require.ErrorIs(t, try(), context.Canceled)
}

// Many at once are all served when the queue is long enough.
func TestConcurrent(t *testing.T) {
	h := password.New(cheap, 2, 16, rand.Reader)
	errs := make([]error, 18)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = h.Hash(context.Background(), "x") })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestCancelled(t *testing.T) {
	h := password.New(cheap, 0, 1, rand.Reader) // no slot is ever free
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := h.Hash(ctx, "x")
	require.ErrorIs(t, err, context.Canceled)
	_, err = h.Verify(ctx, "", "x")
	require.ErrorIs(t, err, context.Canceled)
}
