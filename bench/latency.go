package bench

import (
	"slices"
	"sync"
	"time"
)

// Latencies collects durations. It is safe for concurrent use.
type Latencies struct {
	mu     sync.Mutex
	micros []uint32
}

// Add records one duration.
func (l *Latencies) Add(d time.Duration) {
	us := min(max(d.Microseconds(), 0), 1<<32-1)
	l.mu.Lock()
	l.micros = append(l.micros, uint32(us))
	l.mu.Unlock()
}

// Summary is what a set of durations looks like, in milliseconds.
type Summary struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// Summary sorts and reads off.
func (l *Latencies) Summary() Summary {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.micros)
	if n == 0 {
		return Summary{}
	}
	slices.Sort(l.micros)
	at := func(q float64) float64 { return float64(l.micros[min(int(q*float64(n)), n-1)]) / 1000 }
	return Summary{Count: n, P50: at(0.50), P95: at(0.95), P99: at(0.99), Max: at(1)}
}
