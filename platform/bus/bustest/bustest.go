// Package bustest is the conformance suite of buses.
package bustest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
)

// Harness is one bus that several processes share.
type Harness struct {
	// Open returns a further process's connection with queues of that many messages; the suite closes it.
	Open func(t *testing.T, queue int) bus.Bus
	// Alone says that Open returns buses that do not reach each other: there is but one process.
	Alone bool
}

// New makes a harness for one test.
type New func(t *testing.T) Harness

// patience is how long something that must happen may take: it only ends tests that have failed.
const patience = 20 * time.Second

// Run runs the suite.
func Run(t *testing.T, open New) {
	for name, body := range map[string]func(*testing.T, *suite){
		"delivers to all who fit":         delivers,
		"wildcards":                       wildcards,
		"in order":                        inOrder,
		"data is a copy":                  dataCopied,
		"a slow subscriber loses its old": slowLoses,
		"and holds up nobody":             slowHoldsNobody,
		"unsubscribing waits":             unsubscribeWaits,
		"closing ends all":                closes,
		"bad subjects are refused":        badSubjects,
		"many at once":                    manyAtOnce,
		"between processes":               betweenProcesses,
		"connected":                       connected,
	} {
		t.Run(name, func(t *testing.T) { body(t, &suite{open(t)}) })
	}
	t.Run("followers miss nothing", func(t *testing.T) { runFollowers(t, &suite{open(t)}) })
}

type suite struct{ Harness }

func (s *suite) process(t *testing.T, queue int) bus.Bus {
	t.Helper()
	b := s.Open(t, queue)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	require.Eventually(t, b.Connected, patience, time.Millisecond)
	return b
}

// collect subscribes and returns what comes.
func collect(t *testing.T, b bus.Bus, pattern string) <-chan bus.Message {
	t.Helper()
	ch := make(chan bus.Message, 10000)
	_, err := b.Subscribe(pattern, func(m bus.Message) { ch <- m })
	require.NoError(t, err)
	return ch
}

func await(t *testing.T, ch <-chan bus.Message) bus.Message {
	t.Helper()
	select {
	case m := <-ch:
		return m
	case <-time.After(patience):
		require.FailNow(t, "no message came")
		return bus.Message{}
	}
}

func publish(t *testing.T, b bus.Bus, subject, data string) {
	t.Helper()
	require.NoError(t, b.Publish(t.Context(), subject, []byte(data)))
}

func delivers(t *testing.T, s *suite) {
	b := s.process(t, 100)
	one, two, other := collect(t, b, "room.7"), collect(t, b, "room.7"), collect(t, b, "room.8")
	publish(t, b, "room.7", "x")
	publish(t, b, "room.8", "end")
	require.Equal(t, bus.Message{Subject: "room.7", Data: []byte("x")}, await(t, one))
	require.Equal(t, bus.Message{Subject: "room.7", Data: []byte("x")}, await(t, two))
	require.Equal(t, "end", string(await(t, other).Data))
	publish(t, b, "nobody.listens", "x")
}

func wildcards(t *testing.T, s *suite) {
	b := s.process(t, 100)
	subjects := []string{"log", "log.room", "log.room.1", "log.sync.1", "log.room.1.x", "other.room.1"}
	for pattern, want := range map[string][]string{
		"log.room.*": {"log.room.1"},
		"log.*.1":    {"log.room.1", "log.sync.1"},
		"*":          {"log"},
		"*.*":        {"log.room"},
		"log.>":      {"log.room", "log.room.1", "log.sync.1", "log.room.1.x"},
		">":          subjects,
		"log.room.1": {"log.room.1"},
	} {
		got := collect(t, b, pattern)
		for _, subject := range subjects {
			publish(t, b, subject, pattern)
		}
		for _, subject := range want {
			require.Equal(t, subject, await(t, got).Subject, pattern)
		}
		require.Empty(t, got, pattern)
	}
}

func inOrder(t *testing.T, s *suite) {
	b := s.process(t, 2000)
	got := collect(t, b, "a")
	for i := range 1000 {
		publish(t, b, "a", fmt.Sprint(i))
	}
	for i := range 1000 {
		require.Equal(t, fmt.Sprint(i), string(await(t, got).Data))
	}
}

func dataCopied(t *testing.T, s *suite) {
	b := s.process(t, 100)
	got := collect(t, b, "a")
	data := []byte("before")
	require.NoError(t, b.Publish(t.Context(), "a", data))
	copy(data, "after!")
	require.Equal(t, "before", string(await(t, got).Data))
	require.NoError(t, b.Publish(t.Context(), "a", nil))
	require.Empty(t, await(t, got).Data)
}

func slowLoses(t *testing.T, s *suite) {
	b := s.process(t, 10)
	started, release := make(chan struct{}, 1000), make(chan struct{})
	got := make(chan string, 1000)
	sub, err := b.Subscribe("a", func(m bus.Message) {
		started <- struct{}{}
		<-release
		got <- string(m.Data)
	})
	require.NoError(t, err)
	publish(t, b, "a", "first")
	<-started
	for i := range 100 {
		publish(t, b, "a", fmt.Sprint(i))
	}
	require.Eventually(t, func() bool { return sub.Dropped() == 90 }, patience, time.Millisecond)
	close(release)
	require.Equal(t, "first", <-got)
	for i := 90; i < 100; i++ {
		require.Equal(t, fmt.Sprint(i), <-got, "the newest are kept")
	}
}

func slowHoldsNobody(t *testing.T, s *suite) {
	b := s.process(t, 1000)
	release := make(chan struct{})
	_, err := b.Subscribe("a", func(bus.Message) { <-release })
	require.NoError(t, err)
	quick := collect(t, b, "a")
	for i := range 500 {
		publish(t, b, "a", fmt.Sprint(i))
	}
	for i := range 500 {
		require.Equal(t, fmt.Sprint(i), string(await(t, quick).Data))
	}
	close(release)
}

func unsubscribeWaits(t *testing.T, s *suite) {
	b := s.process(t, 100)
	started, release := make(chan struct{}, 100), make(chan struct{})
	var ended atomic.Bool
	var calls atomic.Int32
	sub, err := b.Subscribe("a", func(bus.Message) {
		calls.Add(1)
		started <- struct{}{}
		<-release
		ended.Store(true)
	})
	require.NoError(t, err)
	publish(t, b, "a", "1")
	<-started
	go func() { close(release) }()
	sub.Unsubscribe()
	require.True(t, ended.Load(), "the handler has ended")
	sub.Unsubscribe()
	other := collect(t, b, "a")
	publish(t, b, "a", "2")
	await(t, other)
	require.EqualValues(t, 1, calls.Load())
}

func closes(t *testing.T, s *suite) {
	b := s.Open(t, 100)
	collect(t, b, "a")
	sub, err := b.Subscribe("b", func(bus.Message) {})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	sub.Unsubscribe()
	require.False(t, b.Connected())
	require.ErrorIs(t, b.Publish(t.Context(), "a", nil), bus.ErrClosed)
	_, err = b.Subscribe("a", func(bus.Message) {})
	require.ErrorIs(t, err, bus.ErrClosed)
}

func badSubjects(t *testing.T, s *suite) {
	b := s.process(t, 100)
	for _, subject := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "a.>", "鴻", "a\r\n"} {
		require.Error(t, b.Publish(t.Context(), subject, nil), "%q", subject)
	}
	for _, pattern := range []string{"", ".", "a.", "a..b", "a b", ">.a", "a*", "a>", "*a.b", "a\r\n"} {
		_, err := b.Subscribe(pattern, func(bus.Message) {})
		require.Error(t, err, "%q", pattern)
	}
	require.Error(t, b.Publish(t.Context(), "a", make([]byte, bus.MaxMessage+1)))
	require.NoError(t, b.Publish(t.Context(), "a", make([]byte, bus.MaxMessage)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Publish(ctx, "a", nil), context.Canceled)
}

func manyAtOnce(t *testing.T, s *suite) {
	b := s.process(t, 10000)
	const publishers, each = 8, 200
	got := collect(t, b, "a.*")
	var group sync.WaitGroup
	for p := range publishers {
		group.Go(func() {
			for i := range each {
				_ = b.Publish(t.Context(), fmt.Sprint("a.", p), []byte(fmt.Sprint(i))) // counted below
			}
		})
	}
	next := map[string]int{}
	for range publishers * each {
		m := await(t, got)
		require.Equal(t, fmt.Sprint(next[m.Subject]), string(m.Data), "each publisher's in order")
		next[m.Subject]++
	}
	group.Wait()
	require.Len(t, next, publishers)
}

func betweenProcesses(t *testing.T, s *suite) {
	if s.Alone {
		t.Skip("this bus has one process")
	}
	one, two := s.process(t, 100), s.process(t, 100)
	got, own := collect(t, two, "a.>"), collect(t, one, "a.>")
	publish(t, one, "a.b", "x")
	require.Equal(t, bus.Message{Subject: "a.b", Data: []byte("x")}, await(t, got))
	require.Equal(t, "x", string(await(t, own).Data))
}

func connected(t *testing.T, s *suite) {
	require.True(t, s.process(t, 100).Connected())
}
