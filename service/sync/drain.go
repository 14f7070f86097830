package sync

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"time"
)

// drain ends the parked polls of an instance that stops.
type drain struct {
	clock func() time.Time
	began chan struct{}

	mu     sync.Mutex
	over   time.Time // when the last poll is to be answered
	begun  bool
	parked int
	empty  chan struct{} // closed when nobody is parked after the beginning
}

func newDrain(clock func() time.Time) drain {
	return drain{clock: clock, began: make(chan struct{}), empty: make(chan struct{})}
}

// enter counts a parked poll; leave must follow.
func (d *drain) enter() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parked++
}

// waiting is how many polls are parked.
func (d *drain) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.parked
}

func (d *drain) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parked--
	if d.begun && d.parked == 0 {
		d.closeEmpty()
	}
}

func (d *drain) closeEmpty() {
	select {
	case <-d.empty:
	default:
		close(d.empty)
	}
}

// begin starts the drain; a second call may only shorten it.
func (d *drain) begin(over time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun {
		if over.Before(d.over) {
			d.over = over
		}
		return
	}
	d.begun, d.over = true, over
	close(d.began)
	if d.parked == 0 {
		d.closeEmpty()
	}
}

// now ends all polls at once.
func (d *drain) now() { d.begin(d.clock()) }

// run spreads the answers over nine tenths of the time that the context leaves.
func (d *drain) run(ctx context.Context) error {
	now := d.clock()
	over := now
	if deadline, ok := ctx.Deadline(); ok {
		over = now.Add(time.Until(deadline) * 9 / 10)
	}
	d.begin(over)
	select {
	case <-d.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain polls: %w", ctx.Err())
	}
}

// delay is how long a poll may still wait once the drain has begun: each user's another share of what is left.
func (d *drain) delay(userID string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(userID))
	d.mu.Lock()
	defer d.mu.Unlock()
	left := d.over.Sub(d.clock())
	if left <= 0 {
		return 0
	}
	return time.Duration(float64(left) * float64(h.Sum32()) / float64(1<<32))
}

// Parked is how many polls wait for news.
func (s *Service) Parked() int {
	s.drain.mu.Lock()
	defer s.drain.mu.Unlock()
	return s.drain.parked
}
