package balance

import (
	"sync"
	"time"
)

// Settings of the budgets.
const (
	budgetSeconds   = 10
	callsPerRetry   = 5
	retriesInAnyway = 100
)

// Budget bounds how many calls are repeated: in ten seconds no more than a fifth of the calls, and a hundred besides. So
// all calls that a dying instance of five or more had taken may be repeated at once, while an outage of everything does
// not double the load. Safe for use by several goroutines.
type Budget struct {
	now func() time.Time

	mu      sync.Mutex
	seconds [budgetSeconds]struct{ calls, retries int }
	head    int64
}

// NewBudget returns a full budget; now is the clock.
func NewBudget(now func() time.Time) *Budget { return &Budget{now: now} }

// Call counts a call.
func (b *Budget) Call() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn()
	b.seconds[b.head%budgetSeconds].calls++
}

// Retry tells whether a call may be repeated, and counts it if so.
func (b *Budget) Retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn()
	var calls, retries int
	for _, s := range b.seconds {
		calls += s.calls
		retries += s.retries
	}
	if retries >= calls/callsPerRetry+retriesInAnyway {
		return false
	}
	b.seconds[b.head%budgetSeconds].retries++
	return true
}

func (b *Budget) turn() {
	n := b.now().Unix()
	for i := max(b.head+1, n-budgetSeconds+1); i <= n; i++ {
		b.seconds[i%budgetSeconds] = struct{ calls, retries int }{}
	}
	b.head = max(b.head, n)
}
