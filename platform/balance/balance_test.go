package balance_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/balance"
)

// clock is a time that the test moves.
type clock struct{ now time.Time }

func newClock() *clock                   { return &clock{now: time.Unix(1000, 0)} }
func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

// call makes a call that takes some time.
func (c *clock) call(p *balance.Peer, took time.Duration, outcome balance.Outcome) bool {
	call := p.Begin(false)
	c.advance(took)
	return call.End(outcome)
}

func TestLatency(t *testing.T) {
	c := newClock()
	p := balance.NewPeer(0, c.Now)
	require.Zero(t, p.Stats().Latency)
	c.call(p, 10*time.Millisecond, balance.Answered)
	require.Equal(t, 10*time.Millisecond, p.Stats().Latency)
	c.call(p, 500*time.Millisecond, balance.Answered)
	require.Equal(t, 500*time.Millisecond, p.Stats().Latency, "a slow answer counts at once")
	c.call(p, time.Millisecond, balance.Answered)
	require.Greater(t, p.Stats().Latency, 490*time.Millisecond, "a fast one does not make it forgotten")
	for range 3000 {
		c.call(p, 10*time.Millisecond, balance.Answered)
	}
	require.InDelta(t, float64(10*time.Millisecond), float64(p.Stats().Latency), float64(40*time.Millisecond))
	before := p.Stats().Latency
	c.call(p, time.Nanosecond, balance.Failed)
	require.Equal(t, before, p.Stats().Latency, "to fail fast is not to be fast")
	s := p.Begin(true)
	c.advance(time.Hour)
	s.End(balance.Answered)
	require.Equal(t, before, p.Stats().Latency, "streams last")
	require.Equal(t, balance.Stats{Calls: 3005, Errors: 1, Latency: before}, p.Stats())
}

func TestLoad(t *testing.T) {
	c := newClock()
	one, heavy, fresh := balance.NewPeer(1, c.Now), balance.NewPeer(2, c.Now), balance.NewPeer(1, c.Now)
	c.call(one, 10*time.Millisecond, balance.Answered)
	c.call(heavy, 10*time.Millisecond, balance.Answered)
	require.InDelta(t, 2, one.Load()/heavy.Load(), .01)
	idle := one.Load()
	running := one.Begin(false)
	require.InDelta(t, 2, one.Load()/idle, .01)
	running.End(balance.Ignored)
	require.Equal(t, idle, one.Load())

	require.Less(t, fresh.Load(), idle, "one that is new is tried")
	first := fresh.Begin(false)
	require.Greater(t, fresh.Load(), idle, "with one call until it has answered")
	first.End(balance.Answered)
	require.Less(t, fresh.Load(), idle)

	c.advance(time.Minute)
	require.Less(t, one.Load(), idle/100, "old slowness is forgotten")
}

// With equal latencies, two choices keep the calls in flight level.
func TestP2C(t *testing.T) {
	c := newClock()
	random := rand.New(rand.NewPCG(1, 2))
	var peers []*balance.Peer
	for range 4 {
		p := balance.NewPeer(1, c.Now)
		c.call(p, time.Millisecond, balance.Answered)
		peers = append(peers, p)
	}
	for range 400 {
		balance.P2C(peers, random.IntN).Begin(false)
	}
	for _, p := range peers {
		require.InDelta(t, 100, p.Stats().InFlight, 5)
	}
	require.Same(t, peers[0], balance.P2C(peers[:1], random.IntN))
}

func TestBreaker(t *testing.T) {
	c := newClock()
	p := balance.NewPeer(1, c.Now)
	for range 4 {
		require.False(t, c.call(p, time.Millisecond, balance.Failed))
	}
	require.True(t, p.Passes(), "four may be chance")
	require.True(t, c.call(p, time.Millisecond, balance.Failed))
	require.False(t, p.Passes())

	late := p.Begin(false)
	require.False(t, late.End(balance.Answered))
	require.False(t, p.Passes(), "what was sent all the same does not close it")

	c.advance(time.Second)
	require.True(t, p.Passes())
	trial := p.Begin(false)
	require.False(t, p.Passes(), "one trial at a time")
	trial.End(balance.Ignored)
	require.True(t, p.Passes(), "a trial that says nothing is followed by another")
	require.True(t, c.call(p, time.Millisecond, balance.Failed))
	c.advance(1500 * time.Millisecond)
	require.False(t, p.Passes(), "it is closed for longer each time")
	c.advance(time.Second)
	require.True(t, p.Passes())
	require.True(t, p.Stats().Open)
	require.False(t, c.call(p, time.Millisecond, balance.Answered))
	require.False(t, p.Stats().Open)
	for range 4 {
		c.call(p, time.Millisecond, balance.Failed)
	}
	require.True(t, p.Passes(), "it begins anew")
}

func TestBreakerOpensNoLongerThanItsLongest(t *testing.T) {
	c := newClock()
	p := balance.NewPeer(1, c.Now)
	for range 5 {
		c.call(p, 0, balance.Failed)
	}
	for range 20 {
		c.advance(16 * time.Second)
		require.True(t, p.Passes())
		require.True(t, c.call(p, 0, balance.Failed))
	}
}

func TestBreakerStaysClosed(t *testing.T) {
	for name, body := range map[string]func(c *clock, p *balance.Peer){
		"when most calls are answered": func(c *clock, p *balance.Peer) {
			for i := range 1000 {
				outcome := balance.Answered
				if i%3 == 0 {
					outcome = balance.Failed
				}
				c.call(p, time.Millisecond, outcome)
			}
		},
		"when failures are rare": func(c *clock, p *balance.Peer) {
			for range 100 {
				c.call(p, 2*time.Second, balance.Failed)
			}
		},
		"when callers give up": func(c *clock, p *balance.Peer) {
			for range 100 {
				c.call(p, 0, balance.Ignored)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			p := balance.NewPeer(1, c.Now)
			body(c, p)
			require.False(t, p.Stats().Open)
		})
	}
}

func TestBudget(t *testing.T) {
	c := newClock()
	b := balance.NewBudget(c.Now)
	spend := func() (n int) {
		for b.Retry() {
			n++
		}
		return n
	}
	require.Equal(t, 100, spend())
	for range 1000 {
		b.Call()
	}
	require.Equal(t, 200, spend())
	c.advance(9 * time.Second)
	require.Zero(t, spend())
	c.advance(time.Second)
	require.Equal(t, 100, spend(), "ten seconds later all is forgotten")
	c.advance(time.Hour)
	require.Equal(t, 100, spend())
}
