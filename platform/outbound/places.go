package outbound

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// places bounds how many requests there are at once: to one host first, so that who waits for a slow host keeps no place from
// others, then to all.
type places struct {
	all    *semaphore.Weighted
	ofHost int64

	mu    sync.Mutex
	hosts map[string]*hostPlaces
}

// hostPlaces are those of a host that somebody asks now, or waits to ask: users counts them.
type hostPlaces struct {
	places *semaphore.Weighted
	users  int
}

func newPlaces(atOnce, hostAtOnce int) *places {
	return &places{all: semaphore.NewWeighted(int64(atOnce)), ofHost: int64(hostAtOnce), hosts: map[string]*hostPlaces{}}
}

// take waits for a place at a host, which release gives back.
func (p *places) take(ctx context.Context, host string) (release func(), err error) {
	h := p.enter(host)
	if err := h.places.Acquire(ctx, 1); err != nil {
		p.leave(host, h)
		return nil, err
	}
	if err := p.all.Acquire(ctx, 1); err != nil {
		h.places.Release(1)
		p.leave(host, h)
		return nil, err
	}
	return func() {
		p.all.Release(1)
		h.places.Release(1)
		p.leave(host, h)
	}, nil
}

func (p *places) enter(host string) *hostPlaces {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[host]
	if h == nil {
		h = &hostPlaces{places: semaphore.NewWeighted(p.ofHost)}
		p.hosts[host] = h
	}
	h.users++
	return h
}

// leave forgets a host that nobody asks any more: there are never more hosts than requests.
func (p *places) leave(host string, h *hostPlaces) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(p.hosts, host)
	}
}
