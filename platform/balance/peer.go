package balance

import (
	"math"
	"sync"
	"time"
)

// Slow is what a call must have taken for the end of its deadline to be its callee's fault.
const Slow = time.Second

// Outcome is what a call says about the instance that took it.
type Outcome int

// Outcomes of calls.
const (
	// Answered: the instance works, whatever it answered.
	Answered Outcome = iota
	// Failed: it could not do its work, or not in time.
	Failed
	// Ignored: it says nothing (the caller gave up, the call was refused unheard).
	Ignored
)

const (
	// decay is the time in which an old latency loses two thirds of its weight.
	decay = 10 * time.Second
	// floor is the latency below which instances are equal.
	floor = float64(50 * time.Microsecond)
	// unknown is the latency of one that has not answered yet while a call waits for its first answer.
	unknown = float64(10 * time.Second)
)

// Peer is one instance as its caller sees it. Safe for use by several goroutines.
type Peer struct {
	now    func() time.Time
	weight float64

	mu       sync.Mutex
	inFlight int
	latency  float64 // nanoseconds: jumps up to each slower answer and decays from there
	measured time.Time
	breaker  breaker
	calls    uint64
	errors   uint64
}

// NewPeer returns an instance that nothing is known of. weight is its share relative to others', 0 counts as 1; now
// is the clock.
func NewPeer(weight int, now func() time.Time) *Peer {
	return &Peer{now: now, weight: float64(max(weight, 1))}
}

// A Call is one call to a peer.
type Call struct {
	peer   *Peer
	start  time.Time
	stream bool
	trial  bool
}

// Begin counts a call; its End must follow. A stream counts as load, but neither how long it lives nor how it ends says
// anything about latency.
func (p *Peer) Begin(stream bool) Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := Call{peer: p, start: p.now(), stream: stream}
	p.inFlight++
	p.calls++
	if !stream {
		c.trial = p.breaker.begin(c.start)
	}
	return c
}

// End takes the call's result and tells whether it opened the breaker.
func (c Call) End(outcome Outcome) (opened bool) {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.inFlight--
	if outcome == Failed {
		p.errors++
	}
	if !c.stream && outcome == Answered {
		p.observe(now, float64(now.Sub(c.start)))
	}
	return p.breaker.end(now, c.trial, outcome)
}

// Since is how long the call has taken so far.
func (c Call) Since() time.Duration { return c.peer.now().Sub(c.start) }

func (p *Peer) observe(now time.Time, took float64) {
	if took < p.latency {
		keep := p.kept(now)
		took = p.latency*keep + took*(1-keep)
	}
	p.latency, p.measured = took, now
}

// kept is the share of the old latency that still counts.
func (p *Peer) kept(now time.Time) float64 {
	return math.Exp(-float64(now.Sub(p.measured)) / float64(decay))
}

// Load is what a further call would wait for: the latency times those in flight, over the weight.
func (p *Peer) Load() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	latency := floor
	switch {
	case !p.measured.IsZero():
		latency = max(floor, p.latency*p.kept(p.now()))
	case p.inFlight > 0:
		latency = unknown
	}
	return latency * float64(p.inFlight+1) / p.weight
}

// Passes tells whether the breaker lets a call pass. It is advice: whoever has no other instance calls all the same.
func (p *Peer) Passes() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.breaker.passes(p.now())
}

// Stats are a peer's figures.
type Stats struct {
	// Calls and Errors are counted since the peer was first seen.
	Calls, Errors uint64
	// InFlight are the calls that run, streams among them.
	InFlight int
	// Latency is the moving average; zero before the first answer.
	Latency time.Duration
	// Open tells that the breaker is open.
	Open bool
}

// Stats returns the figures.
func (p *Peer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Calls: p.calls, Errors: p.errors, InFlight: p.inFlight, Latency: time.Duration(p.latency), Open: p.breaker.open,
	}
}

// P2C returns the less loaded of two candidates taken by chance, by power of two choices: nearly as good as the best of
// all, without all callers choosing the same. random returns a number below n. There is at least one candidate.
func P2C(candidates []*Peer, random func(n int) int) *Peer {
	if len(candidates) == 1 {
		return candidates[0]
	}
	i, j := random(len(candidates)), random(len(candidates)-1)
	if j >= i {
		j++
	}
	if candidates[j].Load() < candidates[i].Load() {
		i = j
	}
	return candidates[i]
}
