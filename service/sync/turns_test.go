package sync_test

import (
	"context"
	gosync "sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync"
)

func TestLargeAnswersTakeTurns(t *testing.T) {
	turns := sync.NewTurns(3)
	var now, most atomic.Int64
	var wg gosync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			release, err := turns.Take(context.Background(), string(rune('a'+i%10)))
			if err != nil {
				t.Error(err)
				return
			}
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			now.Add(-1)
			release()
			release()
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(3))
	require.Zero(t, turns.Users())
}

func TestNoUserTakesAllTurns(t *testing.T) {
	turns := sync.NewTurns(3)
	take := func(ctx context.Context, user string) func() {
		release, err := turns.Take(ctx, user)
		require.NoError(t, err)
		return release
	}
	first, second := take(t.Context(), "alice"), take(t.Context(), "alice")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := turns.Take(gone, "alice")
	require.ErrorIs(t, err, context.Canceled)
	other := take(t.Context(), "bob")
	_, err = turns.Take(gone, "carol")
	require.ErrorIs(t, err, context.Canceled)
	first()
	take(t.Context(), "carol")()
	second()
	other()
	require.Zero(t, turns.Users())
}
