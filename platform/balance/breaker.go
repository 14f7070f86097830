package balance

import "time"

// Settings of the breakers.
const (
	slots        = 10
	slotLength   = 500 * time.Millisecond // so that the window is 5 s
	minFailures  = 5
	shortestOpen = time.Second
	longestOpen  = 16 * time.Second
)

// breaker opens when at least five calls and half of all calls in the last five seconds failed. It then lets nothing
// pass for a second, after which one call at a time is a trial: the first that succeeds closes it, one that fails opens
// it again for twice as long as before. Its user locks.
type breaker struct {
	open  bool
	until time.Time     // the end of the time without calls
	wait  time.Duration // how long that was
	trial bool          // one is running

	window [slots]struct{ calls, failures int }
	head   int64 // number of the newest slot since the epoch
}

// passes tells whether a call may be made.
func (b *breaker) passes(now time.Time) bool {
	return !b.open || !b.trial && !now.Before(b.until)
}

// begin counts a call that is made, whether it passes or not; its result goes to end. It returns whether the call is a
// trial.
func (b *breaker) begin(now time.Time) bool {
	if !b.open || !b.passes(now) {
		return false
	}
	b.trial = true
	return true
}

// end takes a call's result and tells whether it opened the breaker.
func (b *breaker) end(now time.Time, trial bool, outcome Outcome) bool {
	if trial {
		b.trial = false
	}
	switch {
	case outcome == Ignored, b.open && !trial:
		return false
	case b.open && outcome == Answered:
		*b = breaker{}
		return false
	case b.open:
		b.trip(now, min(2*b.wait, longestOpen))
		return true
	}
	b.turn(now)
	slot := &b.window[b.head%slots]
	slot.calls++
	if outcome == Answered {
		return false
	}
	slot.failures++
	var calls, failures int
	for _, s := range b.window {
		calls += s.calls
		failures += s.failures
	}
	if failures < minFailures || 2*failures < calls {
		return false
	}
	b.trip(now, shortestOpen)
	return true
}

func (b *breaker) trip(now time.Time, wait time.Duration) {
	*b = breaker{open: true, wait: wait, until: now.Add(wait)}
}

// turn moves the window to now.
func (b *breaker) turn(now time.Time) {
	n := now.UnixNano() / int64(slotLength)
	for i := max(b.head+1, n-slots+1); i <= n; i++ {
		b.window[i%slots] = struct{ calls, failures int }{}
	}
	b.head = max(b.head, n)
}
