package identity

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"hongyan/matrix"
	"hongyan/service/identity/internal/store"
)

// maxFailures bounds the keys of which failed checks are remembered.
const maxFailures = 100_000

// failures limits the password checks of one key (an account, or an account and an address) that fail. As many checks run at once as may still fail; others
// wait for these, so that who knows the password is never refused because of others who know it too.
//
// The failures are in the database, which is read before each check and written after one that has failed. Checks under way are each
// instance's own: several instances may together let through more at once than may fail, which is then waited
// for so much longer.
type failures struct {
	burst    int
	interval time.Duration
	clock    func() time.Time
	store    *store.Store

	mu sync.Mutex
	by map[string]*bucket
}

// bucket is what an instance knows of a key while it uses it.
type bucket struct {
	// users are the calls that hold it; it goes with the last of them.
	users int
	// full is when the failures so far will have been forgotten, in milliseconds since 1970.
	full int64
	// flying are the checks under way; done is closed when one of them ends, nil while nobody waits for that.
	flying int
	done   chan struct{}
}

func newFailures(burst int, interval time.Duration, clock func() time.Time, store *store.Store) *failures {
	return &failures{burst: burst, interval: interval, clock: clock, store: store, by: map[string]*bucket{}}
}

// begin waits until a check of a key may be made, which end must follow. It fails with M_LIMIT_EXCEEDED when too
// many have failed.
func (f *failures) begin(ctx context.Context, key string) error {
	for {
		wait, err := f.try(ctx, key)
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
func (f *failures) try(ctx context.Context, key string) (wait <-chan struct{}, err error) {
	if f.burst <= 0 {
		return nil, nil
	}
	b := f.use(key)
	defer f.leave(key, b)
	// The bucket is held meanwhile: what fails after the database was read is in it.
	full, err := f.store.FailuresUntil(ctx, hashKey(key))
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b.full = max(b.full, full)
	left := time.Duration(b.full-f.clock().UnixMilli()) * time.Millisecond
	failed := int((left + f.interval - 1) / f.interval)
	if failed >= f.burst {
		e := matrix.NewError(matrix.CodeLimitExceeded, "Too many failed attempts for this account. Wait before you try again.")
		e.RetryAfter = left - time.Duration(f.burst-1)*f.interval
		return nil, e
	}
	if b.flying < f.burst-max(failed, 0) {
		b.flying++
		b.users++
		return nil, nil
	}
	if b.done == nil {
		b.done = make(chan struct{})
	}
	return b.done, nil
}

// end says whether a check that was begun has failed. It is an error if that could not be noted: then nobody must learn
// how the check ended.
func (f *failures) end(ctx context.Context, key string, failed bool) (err error) {
	if f.burst <= 0 {
		return nil
	}
	var full int64
	if failed {
		full, err = f.store.AddFailure(ctx, hashKey(key), f.clock().UnixMilli(), f.interval.Milliseconds())
	}
	f.mu.Lock()
	b := f.by[key]
	b.full = max(b.full, full)
	b.flying--
	if b.done != nil {
		close(b.done)
		b.done = nil
	}
	f.mu.Unlock()
	f.leave(key, b)
	return err
}

// hashKey is what stands for a key in the database: keys hold what strangers claim to be names of accounts.
func hashKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// use holds the bucket of a key until leave.
func (f *failures) use(key string) *bucket {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.by[key]
	if b == nil {
		b = &bucket{}
		f.by[key] = b
	}
	b.users++
	return b
}

func (f *failures) leave(key string, b *bucket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.users--; b.users == 0 {
		delete(f.by, key)
	}
}
