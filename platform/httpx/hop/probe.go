package hop

import (
	"context"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/registry"
)

const (
	// probeEvery is how soon an instance that is down is asked again, and probeTimeout how long the answer may take. Each
	// time it waits twice as long.
	probeEvery   = 250 * time.Millisecond
	probeTimeout = time.Second
	// downTicks bounds that, in units of probeEvery, and leftTicks where the registry does not name the service any more.
	downTicks, leftTicks = 4, 40
	// pruneTicks is how often connections that nobody needs are closed.
	pruneTicks = 20
	// maxProbes is how many are asked at once.
	maxProbes = 16
)

// failed notes that an instance did not answer a request, where it is to blame.
func (c *Cluster) failed(p *pool, i registry.Instance, guilty bool) {
	if guilty && p.blame() {
		c.dir.Avoid(i)
		c.suspect(i)
	}
}

// suspect has an instance probed. Where nobody probes, or too many are suspects, the request that fails next says it again.
func (c *Cluster) suspect(i registry.Instance) {
	select {
	case c.suspects <- i:
	default:
	}
}

// prober asks instances whether they live.
type prober struct {
	cluster *Cluster
	slots   chan struct{}
	running sync.WaitGroup

	mu    sync.Mutex
	tick  int                // how often probeEvery has passed
	known map[string]*probed // by Instance.Key
}

// probed is an instance that is suspected, or known, to be down.
type probed struct {
	instance registry.Instance
	asking   bool
	down     bool
	wait     int // ticks between the last answer that did not come and the next question
	due      int // the tick of that
}

// watch probes until ctx ends, and closes what is not needed any more.
func (c *Cluster) watch(ctx context.Context) error {
	p := &prober{cluster: c, slots: make(chan struct{}, maxProbes), known: map[string]*probed{}}
	defer p.running.Wait()
	silence := max(1, int(c.options.SilenceTimeout/probeEvery))
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case i := <-c.suspects:
			p.add(i)
			p.ask(ctx)
			continue
		case <-tick.C:
		}
		n := p.turn()
		if n%silence == 0 {
			p.add(c.unheard()...)
		}
		if n%pruneTicks == 0 {
			c.prune()
		}
		p.ask(ctx)
	}
}

// turn goes on to the next tick.
func (p *prober) turn() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tick++
	return p.tick
}

// add has instances asked, unless they have moved, or have left and nothing waits for them.
func (p *prober) add(list ...registry.Instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range list {
		if s := p.known[i.Key()]; (s == nil || s.instance.HTTP != i.HTTP) && p.cluster.concerns(i) {
			p.known[i.Key()] = &probed{instance: i}
		}
	}
}

// ask asks all that are suspected or down and whose time has come, and forgets those that left the registry
// and have no requests that would not learn of their end.
func (p *prober) ask(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, s := range p.known {
		if !p.cluster.concerns(s.instance) {
			delete(p.known, key)
			continue
		}
		if s.asking || p.tick < s.due {
			continue
		}
		select {
		case p.slots <- struct{}{}:
		default:
			return
		}
		s.asking = true
		p.running.Go(func() {
			began := time.Now()
			alive := p.cluster.probe(ctx, s.instance)
			<-p.slots
			// Where it took much longer than it may, this process stood still: whom it did not hear has perhaps answered.
			// One that stops takes no connections any more, but ends what it has begun: only silence is a sign, and where it
			// is registered still, its refusal one to send it nothing new.
			took := time.Since(began)
			silent := !alive && took >= probeTimeout
			sure := alive || took < probeTimeout*3/2 && (silent || p.cluster.registered(s.instance))
			if ctx.Err() == nil {
				p.judge(s, verdict{alive: alive, silent: silent, sure: sure})
			}
		})
	}
}

// verdict is what a probe found: that an instance is alive; that it said nothing; and whether that is sure.
type verdict struct{ alive, silent, sure bool }

// judge takes over what a probe found, unless the instance was forgotten meanwhile: nobody would ask it again.
func (p *prober) judge(s *probed, v verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.asking = false
	if !v.sure {
		s.due = p.tick + 1
	}
	if !v.sure || p.known[s.instance.Key()] != s {
		return
	}
	was := s.down
	s.down = !v.alive
	p.cluster.dir.SetDown(s.instance, registry.PortHTTP, !v.alive)
	if v.alive {
		delete(p.known, s.instance.Key())
		if was {
			logx.Infof("instance %s answers again", s.instance.Key())
		}
		return
	}
	s.wait = min(max(1, 2*s.wait), p.longest(s.instance))
	s.due = p.tick + s.wait
	if v.silent {
		p.cluster.cut(s.instance)
	}
	if !was {
		p.cluster.metrics.down.WithLabelValues(s.instance.Service).Inc()
		logx.Errorf("instance %s at %s does not answer", s.instance.Key(), s.instance.HTTP)
	}
}

// longest is how many ticks may lie between two questions to an instance that is down: more where it is probably gone.
func (p *prober) longest(i registry.Instance) int {
	if p.cluster.dir.Named(i.Service) {
		return downTicks
	}
	return leftTicks
}
