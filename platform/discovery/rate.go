package discovery

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// What one network, of 24 bits (IPv4) or 56 (IPv6), gets whole answers to over UDP. Whoever claims to ask from there cannot
// make this process send it more.
const (
	perSecond = 50
	burst     = 200
	// maxNetworks bounds how many are remembered.
	maxNetworks = 4096
)

// rates counts answers over UDP by network.
type rates struct {
	mu       sync.Mutex
	networks map[netip.Prefix]*rate.Limiter
}

// take tells whether an address may have a whole answer. When too many networks ask at once, those that come last
// may not.
func (r *rates) take(from netip.Addr, now time.Time) bool {
	asks := network(from, 24, 56)
	r.mu.Lock()
	defer r.mu.Unlock()
	limiter := r.networks[asks]
	if limiter == nil {
		if len(r.networks) >= maxNetworks {
			r.forget(now)
		}
		if len(r.networks) >= maxNetworks {
			return false
		}
		if r.networks == nil {
			r.networks = map[netip.Prefix]*rate.Limiter{}
		}
		limiter = rate.NewLimiter(perSecond, burst)
		r.networks[asks] = limiter
	}
	return limiter.AllowN(now, 1)
}

// forget drops networks that have asked for nothing lately: a new limiter is as full as theirs.
func (r *rates) forget(now time.Time) {
	maps.DeleteFunc(r.networks, func(_ netip.Prefix, limiter *rate.Limiter) bool { return limiter.TokensAt(now) >= burst })
}
