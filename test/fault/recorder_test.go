package fault_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hongyan/bench"
)

// recorder keeps what the clients saw since it was last reset, and every message that was acknowledged at all.
type recorder struct {
	mu        sync.Mutex
	began     time.Time
	ended     time.Time
	attempts  []bench.Attempt
	delivered []delivery
	sent      []bench.Message
}

type delivery struct{ sent, seen time.Time }

// hooks has a load tell the recorder.
func (r *recorder) hooks(cfg *bench.Config) {
	cfg.Accepted = func(m bench.Message) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sent = append(r.sent, m)
	}
	cfg.Attempted = func(a bench.Attempt) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.attempts = append(r.attempts, a)
	}
	cfg.Delivered = func(sent, seen time.Time) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.delivered = append(r.delivered, delivery{sent, seen})
	}
}

// reset begins a new row. What is under way and ends later belongs to it.
func (r *recorder) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began, r.attempts, r.delivered = time.Now(), nil, nil
}

// end says that the load is about to pause: what comes later is no gap.
func (r *recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = time.Now()
}

// acknowledged counts the messages that were acknowledged since the reset.
func (r *recorder) acknowledged() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, a := range r.attempts {
		if a.Kind == "send" && a.Err == nil {
			n++
		}
	}
	return n
}

// messages are all that were acknowledged since the beginning.
func (r *recorder) messages() []bench.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// figures are what a row shows.
type figures struct {
	// requests are those that a client made without repeating itself, failed those of them that failed.
	requests, failed int
	// repeatable are the failed ones that somebody between could have repeated; unclear those that failed otherwise than
	// by a 503 that says so.
	repeatable, unclear int
	// slowest is the failed request that took longest to fail.
	slowest time.Duration
	// stall is the longest time from the sending of a message to its arrival, gap the longest one without any
	// acknowledgement.
	stall, gap time.Duration
	// answer is the longest time that a message's sender waited for an answer.
	answer time.Duration
	kinds  map[string]int
}

// posts are the kinds of requests that a load balancer, which does not know Matrix, must not repeat.
func isPost(kind string) bool {
	return slices.Contains([]string{"createRoom", "joinRoom", "receipt", "login"}, kind)
}

// figures sums up what was seen since the reset. Where edge is set, a gateway was struck: nobody between it and the client may
// repeat a POST.
func (r *recorder) figures(edge bool) figures {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := figures{kinds: map[string]int{}}
	acks := []time.Time{r.began, r.ended}
	for _, a := range r.attempts {
		if a.Kind == "send" && a.Err == nil {
			acks = append(acks, a.Ended)
		}
		if a.Kind == "send" {
			f.answer = max(f.answer, a.Ended.Sub(a.Began))
		}
		if a.Again {
			continue
		}
		f.requests++
		if a.Err == nil {
			continue
		}
		f.failed++
		f.kinds[a.Kind+": "+kindOf(a.Err)]++
		f.slowest = max(f.slowest, a.Ended.Sub(a.Began))
		if !a.Once && !(edge && isPost(a.Kind)) {
			f.repeatable++
		}
		if !isClear(a.Err) {
			f.unclear++
		}
	}
	for _, d := range r.delivered {
		f.stall = max(f.stall, d.seen.Sub(d.sent))
	}
	slices.SortFunc(acks, time.Time.Compare)
	for i := 1; i < len(acks); i++ {
		f.gap = max(f.gap, acks[i].Sub(acks[i-1]))
	}
	return f
}

// isClear tells whether a failure is a 503 in Matrix's form.
func isClear(err error) bool {
	var e *bench.APIError
	return errors.As(err, &e) && e.Status == 503 && strings.HasPrefix(e.Code, "M_")
}

// kindOf tells failures apart that have different causes.
func kindOf(err error) string {
	var e *bench.APIError
	if errors.As(err, &e) {
		return fmt.Sprintf("%d %s %s", e.Status, e.Code, e.Message)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

// failures lists the kinds of failed requests, for a person to read.
func (f figures) failures() string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(f.kinds)) {
		all = append(all, fmt.Sprintf("%d × %s", f.kinds[kind], kind))
	}
	return strings.Join(all, "; ")
}
