package identity

import (
	"sync"
	"time"

	"hongyan/matrix"
)

// maxFailures bounds the accounts whose failed log-ins are remembered.
const maxFailures = 100_000

// failures limits the password checks of one account that fail. Each account has a bucket: a check takes from it
// before it begins, so that many at once count as many, and puts back when the password was right.
type failures struct {
	cfg   FailureConfig
	clock func() time.Time

	mu sync.Mutex
	// full is when an account's bucket is full again; an account that is not here has a full one.
	full map[string]time.Time
}

func newFailures(cfg FailureConfig, clock func() time.Time) *failures {
	return &failures{cfg: cfg, clock: clock, full: map[string]time.Time{}}
}

// take counts a check. It fails with M_LIMIT_EXCEEDED when too many have failed.
func (f *failures) take(account string) error {
	if f.cfg.Burst <= 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	full, ok := f.full[account]
	if !ok || full.Before(now) {
		full = now
	}
	full = full.Add(f.cfg.Interval)
	if wait := full.Sub(now) - time.Duration(f.cfg.Burst)*f.cfg.Interval; wait > 0 {
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many failed attempts for this account. Wait before you try again.")
		e.RetryAfter = wait
		return e
	}
	if !ok && len(f.full) >= maxFailures {
		f.pruneLocked(now)
		for some := range f.full {
			if len(f.full) < maxFailures {
				break
			}
			delete(f.full, some)
		}
	}
	f.full[account] = full
	return nil
}

// put takes a check back: it did not fail.
func (f *failures) put(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if full, ok := f.full[account]; ok {
		f.full[account] = full.Add(-f.cfg.Interval)
	}
}

// prune forgets full buckets.
func (f *failures) prune() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pruneLocked(f.clock())
}

func (f *failures) pruneLocked(now time.Time) {
	for account, full := range f.full {
		if !full.After(now) {
			delete(f.full, account)
		}
	}
}
