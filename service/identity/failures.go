package identity

import (
	"context"
	"sync"
	"time"

	"hongyan/matrix"
)

// maxFailures bounds the keys of which failed checks are remembered.
const maxFailures = 100_000

// failures limits the password checks of one key (an account, or an account and an address) that fail. As many checks run at once as may still fail; others
// wait for these, so that who knows the password is never refused because of others who know it too.
type failures struct {
	burst    int
	interval time.Duration
	clock    func() time.Time

	mu sync.Mutex
	by map[string]*bucket
}

// bucket is the state of one key. One that is full and has no check under way need not be kept.
type bucket struct {
	// full is when the failures so far will have been forgotten.
	full time.Time
	// flying are the checks under way; done is closed when one of them ends, nil while nobody waits for that.
	flying int
	done   chan struct{}
}

func newFailures(burst int, interval time.Duration, clock func() time.Time) *failures {
	return &failures{burst: burst, interval: interval, clock: clock, by: map[string]*bucket{}}
}

// begin waits until a check of a key may be made, which end must follow. It fails with M_LIMIT_EXCEEDED when too
// many have failed.
func (f *failures) begin(ctx context.Context, key string) error {
	for {
		wait, err := f.try(key)
		if wait == nil {
			return err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// try begins a check, or refuses it, or says what to wait for.
func (f *failures) try(key string) (wait <-chan struct{}, err error) {
	if f.burst <= 0 {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	b := f.by[key]
	if b == nil {
		f.makeRoom(now)
		b = &bucket{}
		f.by[key] = b
	}
	left := b.full.Sub(now)
	failed := int((left + f.interval - 1) / f.interval)
	if failed >= f.burst {
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many failed attempts for this account. Wait before you try again.")
		e.RetryAfter = left - time.Duration(f.burst-1)*f.interval
		return nil, e
	}
	if b.flying < f.burst-max(failed, 0) {
		b.flying++
		return nil, nil
	}
	if b.done == nil {
		b.done = make(chan struct{})
	}
	return b.done, nil
}

// end says whether a check that was begun has failed.
func (f *failures) end(key string, failed bool) {
	if f.burst <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.by[key]
	b.flying--
	now := f.clock()
	if failed {
		if b.full.Before(now) {
			b.full = now
		}
		b.full = b.full.Add(f.interval)
	}
	if b.done != nil {
		close(b.done)
		b.done = nil
	}
	if b.idle(now) {
		delete(f.by, key)
	}
}

func (b *bucket) idle(now time.Time) bool { return b.flying == 0 && !b.full.After(now) }

// prune forgets what is of no use any more.
func (f *failures) prune() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pruneLocked(f.clock())
}

func (f *failures) pruneLocked(now time.Time) {
	for key, b := range f.by {
		if b.idle(now) {
			delete(f.by, key)
		}
	}
}

// makeRoom keeps the keys few: where forgetting the idle ones is not enough, others that have failed go too.
func (f *failures) makeRoom(now time.Time) {
	if len(f.by) < maxFailures {
		return
	}
	f.pruneLocked(now)
	for key, b := range f.by {
		if len(f.by) < maxFailures {
			return
		}
		if b.flying == 0 {
			delete(f.by, key)
		}
	}
}
