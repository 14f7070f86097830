package room_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/bus"
	"hongyan/service/room"
)

// rivals are two instances that both write to a room of alice's, and what is said on the bus about it.
func rivals(t *testing.T, cfg room.Config) (one, two *world, id string, told chan string) {
	url := databases["postgres"](t)
	one = newWorldWith(t, url, nil, cfg)
	two = newWorldWith(t, url, one, cfg)
	two.txn.Store(1 << 32) // their messages are not each other's repetitions
	id = one.create("")
	two.say("alice", id, "two knows the room")
	told = make(chan string, 1000)
	sub, err := one.wakes.Subscribe(room.RivalSubject, func(m bus.Message) { told <- string(m.Data) })
	require.NoError(t, err)
	t.Cleanup(sub.Unsubscribe)
	return one, two, id, told
}

// TestWhoLosesGetsItsTurn checks the rules by which two rivals take turns: who loses reads and repeats, with what came
// meanwhile; who loses again says so; who is told, or has met a rival, reads before it writes until the rival is gone.
func TestWhoLosesGetsItsTurn(t *testing.T) {
	one, two, id, told := rivals(t, room.Default())
	var ran []string // by the goroutine that runs the room's queue
	var waiting sync.WaitGroup
	answer, err := two.service.Send(t.Context(), id, userID("alice"), "a", func() {
		ran = append(ran, "a")
		switch len(ran) {
		case 1: // one is quicker, and another operation comes
			waiting.Go(func() {
				if _, err := two.service.Send(t.Context(), id, userID("alice"), "b", func() { ran = append(ran, "b") }); err != nil {
					t.Error(err)
				}
			})
			await(t, "the other operation waits", func() bool { return two.service.Waiting(id) == 1 })
			require.Empty(t, told, "one loss is nothing to tell")
			one.say("alice", id, "quicker")
		case 2: // and is quicker again
			one.say("alice", id, "quicker again")
		}
	})
	require.NoError(t, err)
	require.NotEmpty(t, answer)
	waiting.Wait()
	require.Equal(t, []string{"a", "a", "b", "a", "b"}, ran, "what comes while a batch is repeated joins it")
	require.Equal(t, id, <-told)
	await(t, "the winner has heard of its rival", func() bool { return one.service.HasRival(id) })
	require.True(t, two.service.HasRival(id))

	// From now on nobody builds on what is likely to be old.
	for range 3 {
		for g, other := range map[*world]*world{one: two, two: one} {
			other.say("alice", id, "in between")
			runs := 0
			_, err := g.service.Send(t.Context(), id, userID("alice"), "c", func() { runs++ })
			require.NoError(t, err)
			require.Equal(t, 1, runs, "it was read before")
		}
	}
	// Until the rival has been away for long.
	for range 20 {
		one.say("alice", id, "alone")
	}
	require.False(t, one.service.HasRival(id))
	one.verify(id, event.V12)
}

// TestWhoAlwaysLosesIsRefused checks that the end of the time is a 503 and that nothing was written.
func TestWhoAlwaysLosesIsRefused(t *testing.T) {
	cfg := room.Default()
	cfg.CommitTimeout = time.Second
	one, two, id, _ := rivals(t, cfg)
	runs := 0
	_, err := two.service.Send(t.Context(), id, userID("alice"), "a", func() {
		runs++
		one.say("alice", id, "quicker")
	})
	var refused *matrix.Error
	require.True(t, errors.As(err, &refused), "%v", err)
	require.Equal(t, http.StatusServiceUnavailable, refused.Status)
	require.Greater(t, runs, 2)
	for _, e := range one.verify(id, event.V12) {
		require.NotEqual(t, "a", e.Type())
	}
	two.say("alice", id, "it goes on")
}

// TestLateComersGetTheirOwnTime checks that what comes when half of a batch's time is gone does not join it: it would be
// refused with the batch, though nothing but a neighbour took its time.
func TestLateComersGetTheirOwnTime(t *testing.T) {
	cfg := room.Default()
	cfg.CommitTimeout = 2 * time.Second
	one, two, id, _ := rivals(t, cfg)
	runs, late := 0, 0
	var waiting sync.WaitGroup
	began := time.Now()
	_, err := two.service.Send(t.Context(), id, userID("alice"), "a", func() {
		runs++
		one.say("alice", id, "quicker")
		if late == 0 && time.Since(began) > cfg.CommitTimeout/2 {
			late = runs
			waiting.Go(func() {
				if _, err := two.service.Send(t.Context(), id, userID("alice"), "b", func() {}); err != nil {
					t.Errorf("it had time enough: %v", err)
				}
			})
			await(t, "the other operation waits", func() bool { return two.service.Waiting(id) == 1 })
		}
	})
	require.Equal(t, http.StatusServiceUnavailable, matrix.AsError(err).Status)
	require.Greater(t, runs, late, "the batch ran again after the other operation had come")
	waiting.Wait()
}
