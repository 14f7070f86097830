package gateway

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// limits count requests per account and per address. A nil *limits lets everything through.
type limits struct {
	account   map[httpx.Limit]*buckets
	address   map[httpx.Limit]*buckets
	badTokens *buckets
}

func newLimits(cfg LimitsConfig, now func() time.Time) *limits {
	l := &limits{
		account:   make(map[httpx.Limit]*buckets, len(classes)),
		address:   make(map[httpx.Limit]*buckets, len(classes)),
		badTokens: newBuckets(cfg.BadTokens, cfg.Buckets, now),
	}
	for class := range classes {
		l.account[class] = newBuckets(cfg.Account.of(class), cfg.Buckets, now)
		l.address[class] = newBuckets(cfg.Address.of(class), cfg.Buckets, now)
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

	mu      sync.Mutex
	fresh   map[string]*rate.Limiter
	old     map[string]*rate.Limiter
	rotated time.Time
}

func newBuckets(r Rate, capacity int, now func() time.Time) *buckets {
	life := time.Duration(float64(r.Burst) / r.PerSecond * float64(time.Second))
	return &buckets{
		rate: r, capacity: max(capacity/2, 1), life: life, now: now,
		fresh: map[string]*rate.Limiter{}, rotated: now(),
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

func (b *buckets) waitLocked(limiter *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - limiter.TokensAt(now)
	return max(time.Duration(missing/b.rate.PerSecond*float64(time.Second)), time.Millisecond)
}

func (b *buckets) limiterLocked(key string, now time.Time) *rate.Limiter {
	if limiter := b.fresh[key]; limiter != nil {
		return limiter
	}
	if now.Sub(b.rotated) >= b.life || len(b.fresh) >= b.capacity {
		b.old, b.fresh, b.rotated = b.fresh, map[string]*rate.Limiter{}, now
	}
	limiter := b.old[key]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.Burst)
	} else {
		delete(b.old, key)
	}
	b.fresh[key] = limiter
	return limiter
}
