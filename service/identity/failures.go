package identity

import (
	"context"
	"sync"
	"time"

	"hongyan/matrix"
)

// maxFailures bounds the accounts whose failed log-ins are remembered.
const maxFailures = 100_000

// failures limits the password checks of one account that fail. As many checks run at once as may still fail; others
// wait for these, so that who knows the password is never refused because of others who know it too.
type failures struct {
	cfg   FailureConfig
	clock func() time.Time

	mu sync.Mutex
	by map[string]*bucket
}

// bucket is the state of one account. One that is full and has no check under way need not be kept.
type bucket struct {
	// full is when the failures so far will have been forgotten.
	full time.Time
	// flying are the checks under way; done is closed when one of them ends, nil while nobody waits for that.
	flying int
	done   chan struct{}
}

func newFailures(cfg FailureConfig, clock func() time.Time) *failures {
	return &failures{cfg: cfg, clock: clock, by: map[string]*bucket{}}
}

// begin waits until a check of an account may be made, which end must follow. It fails with M_LIMIT_EXCEEDED when too
// many have failed.
func (f *failures) begin(ctx context.Context, account string) error {
	if f.cfg.Burst <= 0 {
		return nil
	}
	for {
		wait, err := f.try(account)
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
func (f *failures) try(account string) (wait <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	b := f.by[account]
	if b == nil {
		f.makeRoom(now)
		b = &bucket{}
		f.by[account] = b
	}
	left := b.full.Sub(now)
	failed := int((left + f.cfg.Interval - 1) / f.cfg.Interval)
	if failed >= f.cfg.Burst {
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many failed attempts for this account. Wait before you try again.")
		e.RetryAfter = left - time.Duration(f.cfg.Burst-1)*f.cfg.Interval
		return nil, e
	}
	if b.flying < f.cfg.Burst-max(failed, 0) {
		b.flying++
		return nil, nil
	}
	if b.done == nil {
		b.done = make(chan struct{})
	}
	return b.done, nil
}

// end says whether a check that was begun has failed.
func (f *failures) end(account string, failed bool) {
	if f.cfg.Burst <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.by[account]
	b.flying--
	now := f.clock()
	if failed {
		if b.full.Before(now) {
			b.full = now
		}
		b.full = b.full.Add(f.cfg.Interval)
	}
	if b.done != nil {
		close(b.done)
		b.done = nil
	}
	if b.idle(now) {
		delete(f.by, account)
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
	for account, b := range f.by {
		if b.idle(now) {
			delete(f.by, account)
		}
	}
}

// makeRoom keeps the accounts few: where forgetting the idle ones is not enough, others that have failed go too.
func (f *failures) makeRoom(now time.Time) {
	if len(f.by) < maxFailures {
		return
	}
	f.pruneLocked(now)
	for account, b := range f.by {
		if len(f.by) < maxFailures {
			return
		}
		if b.flying == 0 {
			delete(f.by, account)
		}
	}
}
