package sync_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	gosync "sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/service/sync"
)

func TestLargeAnswersTakeTurns(t *testing.T) {
	turns := sync.NewTurns(3, 0)
	var now, most atomic.Int64
	var wg gosync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			turn, err := turns.Take(context.Background(), string(rune('a'+i%10)))
			if err != nil {
				t.Error(err)
				return
			}
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			now.Add(-1)
			turn.Release()
			turn.Release()
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(3))
	require.Zero(t, turns.Users())
}

func TestNoUserTakesAllTurns(t *testing.T) {
	turns := sync.NewTurns(3, 0)
	take := func(ctx context.Context, user string) func() {
		turn, err := turns.Take(ctx, user)
		require.NoError(t, err)
		return turn.Release
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

func TestSlowReadersKeepNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := sync.NewTurns(1, 100)
		take := func(user string) sync.Turn {
			turn, err := turns.Take(t.Context(), user)
			require.NoError(t, err)
			return turn
		}
		refused := func(user string) {
			_, err := turns.Take(t.Context(), user)
			var e *matrix.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, 503, e.Status)
			require.Positive(t, e.RetryAfter)
		}
		first := take("alice")
		refused("bob") // alice's is still being put together
		first.Assembled(60)
		second := take("alice")
		second.Assembled(40)
		require.EqualValues(t, 100, turns.Unwritten())
		refused("alice") // she has not read either of hers

		third := take("bob")
		third.Assembled(1) // is one byte too many, and keeps its place
		refused("carol")
		third.Release()
		fourth := take("carol")

		first.Release()
		first.Release()
		require.EqualValues(t, 40, turns.Unwritten())
		fourth.Assembled(60)
		take("alice").Release()
		second.Release()
		fourth.Release()
		require.Zero(t, turns.Unwritten())
		require.Zero(t, turns.Users())
	})
}

// reading is a client that does something before it reads an answer.
type reading struct {
	http.ResponseWriter
	before func()
}

func (r reading) Write(b []byte) (int, error) {
	r.before()
	return r.ResponseWriter.Write(b)
}

func TestOthersAreAnsweredWhileAClientReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := sync.NewTurns(1, 100)
		slow, err := turns.Take(t.Context(), "alice")
		require.NoError(t, err)
		answered := httptest.NewRecorder()
		require.NoError(t, slow.Reply(reading{answered, func() {
			other, err := turns.Take(t.Context(), "bob")
			require.NoError(t, err)
			other.Release()
			require.EqualValues(t, 2, turns.Unwritten())
		}}, []byte("{}")))
		require.Equal(t, "{}", answered.Body.String())
		slow.Release()
		require.Zero(t, turns.Unwritten())
	})
}
