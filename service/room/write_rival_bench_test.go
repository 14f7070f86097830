package room_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hongyan/test/pgtest"
)

// BenchmarkRivals measures how long sends into one hot room wait when two instances both believe to own it, on PostgreSQL
// that waits for the disk. b.N messages go to each side; the worst waits of both must be alike, and short.
func BenchmarkRivals(b *testing.B) {
	for _, senders := range [][2]int{{1, 1}, {16, 16}, {32, 1}, {64, 64}} {
		b.Run(fmt.Sprintf("senders=%d+%d", senders[0], senders[1]), func(b *testing.B) {
			url := pgtest.StartDurable(b)
			one := newWorld(b, url, nil)
			two := newWorld(b, url, one)
			two.txn.Store(1 << 32)
			ids := []string{one.create("")}
			for _, g := range []*world{one, two} {
				sendAll(b, g.rig, ids, 1, 1)
			}
			b.ResetTimer()
			var waits [2][]time.Duration
			var wg sync.WaitGroup
			var over atomic.Bool
			for side, g := range []*world{one, two} {
				wg.Go(func() {
					waits[side] = sendTimed(b, g.rig, ids[0], senders[side], b.N, &over)
					over.Store(true) // what one side sends alone tells nothing
				})
			}
			wg.Wait()
			for side, w := range waits {
				slices.Sort(w)
				for name, at := range map[string]int{"p50": len(w) / 2, "p99": len(w) * 99 / 100, "max": len(w) - 1} {
					b.ReportMetric(float64(w[at].Microseconds())/1000, fmt.Sprintf("%s-ms/%d", name, side+1))
				}
				b.ReportMetric(float64(len(w))/b.Elapsed().Seconds(), fmt.Sprintf("sends/s/%d", side+1))
			}
		})
	}
}

// sendTimed sends messages until all are sent, or it is over, and returns how long each took.
func sendTimed(b *testing.B, g *rig, room string, senders, messages int, over *atomic.Bool) []time.Duration {
	waits := make([][]time.Duration, senders)
	var sent atomic.Int64
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for !over.Load() && sent.Add(1) <= int64(messages) {
				began := time.Now()
				sendOne(b, g, room, `{"msgtype":"m.text","body":"hello"}`)
				waits[i] = append(waits[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	return slices.Concat(waits...)
}
