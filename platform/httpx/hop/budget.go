package hop

import (
	"sync"
	"time"
)

const (
	// repeatShare is how much of a repeat each request earns, and repeatRate how many are earned a second without any.
	repeatShare = 0.2
	repeatRate  = 200
)

// budget bounds repeats: where most requests fail, repeating them all would only add to the load.
type budget struct {
	burst float64
	now   func() time.Time

	mu   sync.Mutex
	left float64
	last time.Time
}

func newBudget(burst int, now func() time.Time) *budget {
	return &budget{burst: float64(burst), now: now, left: float64(burst), last: now()}
}

// earn counts a request.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = min(b.burst, b.left+repeatShare)
}

// take takes a repeat, if one is left.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	b.left = min(b.burst, b.left+max(0, now.Sub(b.last).Seconds())*repeatRate)
	b.last = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}
