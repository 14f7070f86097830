package gateway

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"hongyan/matrix"
	"hongyan/platform/bus"
	"hongyan/platform/httpx"
)

// limits count requests per account and per address. A nil *limits lets everything through.
type limits struct {
	account   map[httpx.Limit]*buckets
	address   map[httpx.Limit]*buckets
	badTokens *buckets
	// byName are all of them by the names that other gateways know, and share is how these count too; nil for this gateway
	// alone.
	byName map[string]*buckets
	share  *share
}

func newLimits(cfg LimitsConfig, now func() time.Time, others bus.Bus) *limits {
	l := &limits{
		account:   make(map[httpx.Limit]*buckets, len(classes)),
		address:   make(map[httpx.Limit]*buckets, len(classes)),
		badTokens: newBuckets(cfg.BadTokens, cfg.Buckets, now),
	}
	for class := range classes {
		l.account[class] = newBuckets(cfg.Account.of(class), cfg.Buckets, now)
		l.address[class] = newBuckets(cfg.Address.of(class), cfg.Buckets, now)
	}
	if others != nil {
		l.share = newShare(others)
		l.byName = map[string]*buckets{"bad_tokens": l.badTokens}
		for class := range classes {
			l.byName["account."+string(class)] = l.account[class]
			l.byName["address."+string(class)] = l.address[class]
		}
		for _, b := range l.byName {
			b.share = l.share
		}
	}
	return l
}

// take counts a request towards its class: of the account, or of the address where nobody is signed in. The error is
// M_LIMIT_EXCEEDED with the time to wait.
func (l *limits) take(class httpx.Limit, user string, address netip.Addr) error {
	if l == nil || class == httpx.LimitNone {
		return nil
	}
	set, key := l.address, addressKey(address)
	if user != "" {
		set, key = l.account, user
	}
	b := set[class]
	if b == nil { // a class that this version does not know
		b = set[httpx.LimitDefault]
	}
	return limitError(b.take(key))
}

// mayTryToken refuses an address that has sent too many unknown tokens.
func (l *limits) mayTryToken(address netip.Addr) error {
	if l == nil {
		return nil
	}
	return limitError(l.badTokens.wait(addressKey(address)))
}

// countBadToken counts an unknown token.
func (l *limits) countBadToken(address netip.Addr) {
	if l != nil {
		l.badTokens.take(addressKey(address))
	}
}

func limitError(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	e := matrix.NewError(matrix.CodeLimitExceeded, "Too many requests. Wait a moment and try again.")
	e.RetryAfter = wait
	return e
}

// addressKey is what an address is counted as: IPv6 by its /64, which one customer has whole.
func addressKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		prefix, _ := a.Prefix(64) // 64 bits are valid for every IPv6 address
		a = prefix.Addr()
	}
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// buckets are token buckets by key, of one rate. They are kept in two generations: what was used since the last
// rotation, and what was used before it. A bucket that is dropped after a whole generation without use is full
// again; where there are more keys than capacity, rotation comes earlier and some are filled up early.
type buckets struct {
	rate     Rate
	capacity int
	life     time.Duration // until an unused bucket is full
	now      func() time.Time

	// share tells other gateways; nil where there are none.
	share *share

	mu      sync.Mutex
	fresh   map[string]*bucket
	old     map[string]*bucket
	rotated time.Time
	// told are the buckets from which something was taken that other gateways do not know of yet.
	told []*bucket
}

// bucket is the bucket of one key.
type bucket struct {
	*rate.Limiter
	key string
	// taken is what other gateways do not know of yet.
	taken int
}

func newBuckets(r Rate, capacity int, now func() time.Time) *buckets {
	life := time.Duration(float64(r.Burst) / r.PerSecond * float64(time.Second))
	return &buckets{
		rate: r, capacity: max(capacity/2, 1), life: life, now: now,
		fresh: map[string]*bucket{}, rotated: now(),
	}
}

// take takes a token from the key's bucket and returns 0, or, where it is empty, takes none and returns how long
// it takes until there is one.
func (b *buckets) take(key string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	limiter := b.limiterLocked(key, now)
	if limiter.AllowN(now, 1) {
		if b.share != nil {
			b.countLocked(limiter)
		}
		return 0
	}
	return b.waitLocked(limiter, now)
}

// wait returns 0 where the key's bucket holds a token, or how long it takes until it does.
func (b *buckets) wait(key string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	limiter := b.fresh[key]
	if limiter == nil {
		limiter = b.old[key]
	}
	if limiter == nil || limiter.TokensAt(now) >= 1 {
		return 0
	}
	return b.waitLocked(limiter, now)
}

// countLocked notes for the other gateways that a token was taken.
func (b *buckets) countLocked(limiter *bucket) {
	switch {
	case limiter.taken > 0:
		limiter.taken++
	case len(b.told) < maxShared && b.share.on.Load():
		limiter.taken = 1
		b.told = append(b.told, limiter)
		if len(b.told) == 1 {
			b.share.notice()
		}
	}
}

// takeTaken returns what was taken by key since it was called last.
func (b *buckets) takeTaken() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.told) == 0 {
		return nil
	}
	taken := make(map[string]int, len(b.told))
	for _, limiter := range b.told {
		taken[limiter.key] += limiter.taken
		limiter.taken = 0
	}
	b.told = nil
	return taken
}

// takeElsewhere takes from the key's bucket what was taken at another gateway. What is in it may become less than nothing, by as
// much as it holds when full.
func (b *buckets) takeElsewhere(key string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	limiter := b.limiterLocked(key, now)
	n = min(n, int(limiter.TokensAt(now))+b.rate.Burst, b.rate.Burst)
	if n > 0 {
		limiter.ReserveN(now, n)
	}
}

func (b *buckets) waitLocked(limiter *bucket, now time.Time) time.Duration {
	missing := 1 - limiter.TokensAt(now)
	return max(time.Duration(missing/b.rate.PerSecond*float64(time.Second)), time.Millisecond)
}

func (b *buckets) limiterLocked(key string, now time.Time) *bucket {
	if limiter := b.fresh[key]; limiter != nil {
		return limiter
	}
	if now.Sub(b.rotated) >= b.life || len(b.fresh) >= b.capacity {
		b.old, b.fresh, b.rotated = b.fresh, map[string]*bucket{}, now
	}
	limiter := b.old[key]
	if limiter == nil {
		limiter = &bucket{Limiter: rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.Burst), key: key}
	} else {
		delete(b.old, key)
	}
	b.fresh[key] = limiter
	return limiter
}
