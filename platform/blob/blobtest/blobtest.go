// Package blobtest is the conformance suite of blob stores.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/blob"
)

// Run runs the suite against stores that open returns: each is empty.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, body := range map[string]func(*testing.T, blob.Store){
		"what is put is read":       putAndRead,
		"reading begins anywhere":   seeks,
		"an upload that breaks off": breaksOff,
		"a context that ends":       contextEnds,
		"deleting":                  deletes,
		"keys":                      keys,
		"many at once":              manyAtOnce,
	} {
		t.Run(name, func(t *testing.T) { body(t, open(t)) })
	}
}

// content is random bytes, the same for the same seed.
func content(seed uint64, size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, size)
	_, _ = r.Read(b) // it never fails
	return b
}

func read(t *testing.T, s blob.Store, key string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return b
}

// isMissing tells whether nobody can open a blob: who reads it may have promised it by then.
func isMissing(t *testing.T, s blob.Store, key string) bool {
	t.Helper()
	r, err := s.Open(t.Context(), key)
	if err == nil {
		_ = r.Close()
	}
	return errors.Is(err, blob.ErrNotFound)
}

func putAndRead(t *testing.T, s blob.Store) {
	for i, size := range []int{0, 1, 64 << 10, 64<<10 + 1, 1<<20 - 1, 1 << 20, 3 << 20, 11 << 20} {
		key, want := fmt.Sprintf("key%d", i), content(uint64(i), size)
		// Readers that give little at once, as networks do.
		n, err := s.Put(t.Context(), key, io.MultiReader(bytes.NewReader(want[:size/3]), bytes.NewReader(want[size/3:])))
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.Equal(t, sha256.Sum256(want), sha256.Sum256(read(t, s, key)))
	}
	require.True(t, isMissing(t, s, "other"))
}

func seeks(t *testing.T, s blob.Store) {
	want := content(1, 100_000)
	_, err := s.Put(t.Context(), "seek", bytes.NewReader(want))
	require.NoError(t, err)
	r, err := s.Open(t.Context(), "seek")
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	for _, at := range []int{0, 99_999, 5, 100_000} {
		got, err := r.Seek(int64(at), io.SeekStart)
		require.NoError(t, err)
		require.EqualValues(t, at, got)
		rest, err := io.ReadAll(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[at:], rest), "from %d", at)
	}
	end, err := r.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	require.EqualValues(t, len(want), end)
}

var errBroken = errors.New("the client went away")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

func breaksOff(t *testing.T, s blob.Store) {
	for i, size := range []int{0, 100, 11 << 20} {
		key := fmt.Sprintf("broken%d", i)
		_, err := s.Put(t.Context(), key, io.MultiReader(bytes.NewReader(content(1, size)), broken{}))
		require.ErrorIs(t, err, errBroken)
		require.True(t, isMissing(t, s, key))
		require.NoError(t, s.Delete(t.Context(), key))
	}
}

func contextEnds(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Put(ctx, "ends", io.MultiReader(bytes.NewReader(content(1, 100)), ending{cancel}, bytes.NewReader(content(2, 6<<20))))
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, isMissing(t, s, "ends"))
	require.NoError(t, s.Delete(t.Context(), "ends"))
}

// ending ends a context when it is read.
type ending struct{ cancel context.CancelFunc }

func (e ending) Read([]byte) (int, error) {
	e.cancel()
	return 0, io.EOF
}

func deletes(t *testing.T, s blob.Store) {
	for _, key := range []string{"first", "second"} {
		_, err := s.Put(t.Context(), key, bytes.NewReader([]byte(key)))
		require.NoError(t, err)
	}
	require.NoError(t, s.Delete(t.Context(), "first"))
	require.True(t, isMissing(t, s, "first"))
	require.Equal(t, "second", string(read(t, s, "second")))
	require.NoError(t, s.Delete(t.Context(), "first"), "a second time")
	require.NoError(t, s.Delete(t.Context(), "never"))
}

func keys(t *testing.T, s blob.Store) {
	for _, key := range []string{"", "abc", "../../etc", "ABCD", "a/bc", "ab..", string(bytes.Repeat([]byte("a"), blob.MaxKey+1))} {
		_, err := s.Put(t.Context(), key, bytes.NewReader(nil))
		require.Error(t, err, key)
		_, err = s.Open(t.Context(), key)
		require.Error(t, err, key)
		require.Error(t, s.Delete(t.Context(), key), key)
	}
}

func manyAtOnce(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	errs := make(chan error, 32)
	for i := range cap(errs) {
		wg.Go(func() {
			_, err := s.Put(t.Context(), fmt.Sprintf("many%d", i), bytes.NewReader(content(uint64(i), 1000)))
			errs <- err
		})
	}
	wg.Wait()
	for i := range cap(errs) {
		require.NoError(t, <-errs)
		require.True(t, bytes.Equal(content(uint64(i), 1000), read(t, s, fmt.Sprintf("many%d", i))))
	}
}
