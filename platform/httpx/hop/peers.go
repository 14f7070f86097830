package hop

import (
	"slices"
	"sync"
	"time"

	"hongyan/platform/balance"
	"hongyan/platform/registry"
)

// forgetAfter is how long an instance that left is remembered, for those who look at the topology.
const forgetAfter = time.Minute

// peers are the instances that were sent to.
type peers struct {
	zone string
	now  func() time.Time
	intN func(int) int

	mu    sync.Mutex
	known map[string]*peer // by Instance.Key
}

// peer is one instance with its figures.
type peer struct {
	*balance.Peer
	instance registry.Instance
	seen     time.Time // when it was last registered
}

// Traffic is what this process has sent to an instance, and how it went.
type Traffic struct {
	Instance registry.Instance
	balance.Stats
	// Down tells that it does not answer.
	Down bool
}

// of returns what is known of an instance.
func (p *peers) of(i registry.Instance) *balance.Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.known[i.Key()]
	if k == nil || k.instance.HTTP != i.HTTP { // what is elsewhere now begins anew
		k = &peer{Peer: balance.NewPeer(i.Weight, p.now), instance: i, seen: p.now()}
		p.known[i.Key()] = k
	}
	return k.Peer
}

// pick returns one of the instances that skip does not name: of this zone where there are some, and rather one whose calls
// do not fail.
func (p *peers) pick(list []registry.Instance, skip func(registry.Instance) bool) (registry.Instance, bool) {
	var near, passing, all []registry.Instance
	for _, i := range list {
		if skip(i) {
			continue
		}
		all = append(all, i)
		if !p.of(i).Passes() {
			continue
		}
		passing = append(passing, i)
		if p.zone != "" && i.Zone == p.zone {
			near = append(near, i)
		}
	}
	from := all
	switch {
	case len(near) > 0:
		from = near
	case len(passing) > 0:
		from = passing
	}
	if len(from) == 0 {
		return registry.Instance{}, false
	}
	candidates := make([]*balance.Peer, len(from))
	for n, i := range from {
		candidates[n] = p.of(i)
	}
	return from[slices.Index(candidates, balance.P2C(candidates, p.intN))], true
}

// retain forgets instances that have not been registered for a while.
func (p *peers) retain(registered func(registry.Instance) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for key, k := range p.known {
		switch {
		case registered(k.instance):
			k.seen = now
		case now.Sub(k.seen) > forgetAfter && k.Stats().InFlight == 0:
			delete(p.known, key)
		}
	}
}

// traffic returns the figures of all, in order.
func (p *peers) traffic(dir *registry.Directory) []Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Traffic, 0, len(p.known))
	for _, k := range p.known {
		list = append(list, Traffic{Instance: k.instance, Stats: k.Stats(), Down: dir.IsDown(k.instance, registry.PortHTTP)})
	}
	slices.SortFunc(list, func(a, b Traffic) int { return registry.Compare(a.Instance, b.Instance) })
	return list
}
