package gateway

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Traffic is what clients asked of one service through this gateway, since it started.
type Traffic struct {
	// Service is whose routes they were: gateway for its own.
	Service string
	// Remote tells that requests went over the network, to any instance.
	Remote bool
	// Calls are all requests, Errors those of which the server was at fault.
	Calls, Errors uint64
	// Latency is a moving average, long polls left out; zero before the first answer.
	Latency time.Duration
}

// tally counts the traffic of one service.
type tally struct {
	remote        bool
	calls, errors atomic.Uint64
	latency       atomic.Int64 // nanoseconds
}

// tallies are those of all services.
type tallies struct {
	mu sync.Mutex
	of map[string]*tally
}

// get returns a service's tally.
func (t *tallies) get(service string, remote bool) *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[string]*tally{}
	}
	mine := t.of[service]
	if mine == nil {
		mine = &tally{remote: remote}
		t.of[service] = mine
	}
	return mine
}

// count counts an answer. Two answers at the same time may lose one of the two from the average: it is for people.
func (t *tally) count(failed bool, took time.Duration, longPoll bool) {
	t.calls.Add(1)
	if failed {
		t.errors.Add(1)
	}
	if longPoll {
		return
	}
	if old := t.latency.Load(); old != 0 {
		took = time.Duration(old) + (took-time.Duration(old))/16
	}
	t.latency.Store(int64(took))
}

// Traffic returns what clients asked of each service, by name.
func (s *Service) Traffic() []Traffic {
	t := &s.metrics.tallies
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Traffic, 0, len(t.of))
	for _, service := range slices.Sorted(maps.Keys(t.of)) {
		mine := t.of[service]
		all = append(all, Traffic{
			Service: service, Remote: mine.remote, Calls: mine.calls.Load(), Errors: mine.errors.Load(),
			Latency: time.Duration(mine.latency.Load()),
		})
	}
	return all
}
