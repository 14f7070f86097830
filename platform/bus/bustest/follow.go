package bustest

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
	"hongyan/platform/bus/faulty"
)

// fakeLog is an append-only log whose appends wake followers through a bus, as real ones do: commit first.
type fakeLog struct {
	bus bus.Bus

	mu      sync.Mutex
	entries []int
}

func (l *fakeLog) append(ctx context.Context, v int) {
	l.mu.Lock()
	l.entries = append(l.entries, v)
	head := len(l.entries)
	l.mu.Unlock()
	_ = l.bus.Publish(ctx, "log.0", binary.BigEndian.AppendUint64(nil, uint64(head))) // the follower asks besides
}

func (l *fakeLog) head() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

func (l *fakeLog) read(after int) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]int(nil), l.entries[after:]...)
}

// follow copies the log until ctx ends: woken by the bus, and asking for the head every so often.
func follow(ctx context.Context, l *fakeLog, b bus.Bus, every time.Duration, apply func(position, v int)) error {
	wake := make(chan struct{}, 1)
	position := 0
	sub, err := b.Subscribe("log.*", func(bus.Message) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		for head := l.head(); position < head; {
			for _, v := range l.read(position) {
				position++
				apply(position, v)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-ticker.C:
		}
	}
}

// runFollowers proves that a follower that is woken by the bus and asks for heads sees every entry once and in
// order, whatever the bus does.
func runFollowers(t *testing.T, s *suite) {
	for name, config := range map[string]faulty.Config{
		"on a good bus":            {},
		"on one that drops":        {Drop: .5, Seed: 1},
		"on one that repeats":      {Repeat: .5, Seed: 2},
		"on one that delays":       {Delay: .5, MaxDelay: 20 * time.Millisecond, Seed: 3},
		"on one that does it all":  {Drop: .3, Repeat: .3, Delay: .3, MaxDelay: 20 * time.Millisecond, Seed: 4},
		"on one that drops it all": {Drop: 1, Seed: 5},
	} {
		t.Run(name, func(t *testing.T) { followers(t, faulty.New(s.process(t, 16), config)) })
	}
	t.Run("on one that is cut", func(t *testing.T) {
		b := faulty.New(s.process(t, 16), faulty.Config{})
		b.Cut(true)
		require.False(t, b.Connected())
		followers(t, b)
		b.Cut(false)
		require.True(t, b.Connected())
		followers(t, b)
	})
}

func followers(t *testing.T, b bus.Bus) {
	t.Helper()
	const entries, count = 500, 3
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &fakeLog{bus: b}
	type seen struct{ position, v int }
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	copies := make([]chan seen, count)
	for i := range copies {
		ch := make(chan seen, 2*entries)
		copies[i] = ch
		group.Go(func() {
			if err := follow(ctx, log, b, 5*time.Millisecond, func(p, v int) { ch <- seen{p, v} }); err != nil {
				close(ch)
			}
		})
	}
	for v := range entries {
		log.append(ctx, v*v)
	}
	for _, ch := range copies {
		for i := range entries {
			select {
			case got := <-ch:
				require.Equal(t, seen{i + 1, i * i}, got)
			case <-time.After(patience):
				require.FailNow(t, "an entry never came")
			}
		}
	}
}
