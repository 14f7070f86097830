package app

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// Garbage waits for the heap to double before it is collected, and memory that was freed goes back to the system slowly.
// A server that has become idle would keep what its busiest moment took. These say when it is given back.
const (
	idleCheck = 5 * time.Second
	// idleShare is the share of the live heap that may be allocated between two checks of an idle process.
	idleShare = 0.10
	// idleExcess is how many bytes more than the live heap are worth a collection, at least; a large heap asks for more,
	// a quarter of what lives.
	idleExcess = 16 << 20
)

// heapUse is what the runtime says of the heap, in bytes.
type heapUse struct {
	// allocated since the start of the process; live after the last collection; held in memory beyond that.
	allocated, live, excess uint64
}

func readHeap() heapUse {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	use := heapUse{allocated: value(0), live: value(1)}
	if held := value(2) + value(3) + value(4); held > use.live {
		use.excess = held - use.live
	}
	return use
}

// giveMemoryBack returns memory to the system whenever the process has become idle, until ctx ends.
func giveMemoryBack(ctx context.Context) error {
	tick := time.NewTicker(idleCheck)
	defer tick.Stop()
	last := readHeap()
	done := last.allocated
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := readHeap()
		if wantsCollection(last, now, done) {
			debug.FreeOSMemory()
			now = readHeap()
			done = now.allocated
		}
		last = now
	}
}

// wantsCollection tells whether the process is idle and holds much that it does not need. done is what had been
// allocated at the last time: nothing is to be gained before as much again was.
func wantsCollection(last, now heapUse, done uint64) bool {
	worth := max(idleExcess, now.live/4)
	idle := float64(now.allocated-last.allocated) <= idleShare*float64(worth)
	return idle && now.excess > worth && now.allocated-done > worth
}
