package probe

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs"
	"hongyan/platform/registry"
)

// ErrNoWay is what a check returns that has no way to ask: the instance is taken to be neither there nor gone.
var ErrNoWay = errors.New("no way to ping")

// Check asks an instance for a sign of life, until ctx ends.
type Check func(ctx context.Context, instance registry.Instance) error

// Config says whom to ask and how. Directory and Check are needed.
type Config struct {
	// Directory names the instances and is told which are down at their gRPC ports.
	Directory *registry.Directory
	// Self is this process's boot id: it does not ask itself.
	Self string
	// Check is a ping.
	Check Check
	// Heard returns when an instance last gave a sign of life anyway: those are not pinged. nil knows of none.
	Heard func(registry.Instance) time.Time
	// Down is called when an instance says nothing at all, after the directory was told: the place to close what is
	// connected to it. One that refuses to be asked may drain, and ends what it has begun. It must not block. nil does
	// nothing.
	Down func(registry.Instance)
	// Busy tells whether calls may still wait for an instance that the directory lists no more: until they do not, it is
	// asked, and is only down when it says nothing at all. One that leaves in good order may refuse to be asked. nil is
	// never.
	Busy func(registry.Instance) bool
	// Interval is the silence after which an instance is pinged; 0 is a second.
	Interval time.Duration
	// Timeout is how long it may take to answer; 0 is a second.
	Timeout time.Duration
	// Now is the clock of what is reported; nil is time.Now.
	Now func() time.Time
	// Registerer gets the metrics; nil measures nothing that is seen.
	Registerer prometheus.Registerer
}

// Prober asks the instances of the services that it follows. Safe for use by several goroutines.
type Prober struct {
	config   Config
	failures *prometheus.CounterVec
	down     *prometheus.GaugeVec

	mu       sync.Mutex
	services map[string]bool
	targets  map[string]*target // by Instance.Key; empty unless Run runs
	followed chan struct{}      // has a value when services grew
}

// target is one instance that is asked.
type target struct {
	instance registry.Instance
	cancel   context.CancelFunc
	left     atomic.Bool // the directory lists it no more

	mu        sync.Mutex
	seen      time.Time
	roundTrip time.Duration
}

// New returns a prober that follows no service yet.
func New(config Config) (*Prober, error) {
	if config.Directory == nil || config.Check == nil {
		return nil, errors.New("new prober: a directory and a check are needed")
	}
	if config.Interval <= 0 {
		config.Interval = time.Second
	}
	if config.Timeout <= 0 {
		config.Timeout = time.Second
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Prober{
		config: config, services: map[string]bool{}, targets: map[string]*target{}, followed: make(chan struct{}, 1),
		failures: obs.Register(config.Registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hongyan", Subsystem: "probe", Name: "failures_total",
			Help: "Pings that an instance did not answer in time.",
		}, []string{"service", "instance"})),
		down: obs.Register(config.Registerer, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "hongyan", Subsystem: "probe", Name: "down",
			Help: "1 for an instance that does not answer pings.",
		}, []string{"service", "instance"})),
	}, nil
}

// Follow adds a service whose instances are asked.
func (p *Prober) Follow(service string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.services[service] {
		return
	}
	p.services[service] = true
	select {
	case p.followed <- struct{}{}:
	default:
	}
}

// Run asks until ctx ends, with one goroutine an instance, and waits for them.
func (p *Prober) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer p.reconcile(nil, nil)
	for {
		changed := p.config.Directory.Changed()
		p.reconcile(p.wanted(), func(t *target) {
			inner, cancel := context.WithCancel(ctx)
			t.cancel = cancel
			running.Go(func() { p.watch(inner, t) })
		})
		select {
		case <-changed:
		case <-p.followed:
		case <-ctx.Done():
			return nil
		}
	}
}

// wanted returns whom to ask.
func (p *Prober) wanted() map[string]registry.Instance {
	p.mu.Lock()
	services := make([]string, 0, len(p.services))
	for s := range p.services {
		services = append(services, s)
	}
	p.mu.Unlock()
	wanted := map[string]registry.Instance{}
	for _, s := range services {
		for _, i := range p.config.Directory.All(s) {
			if i.BootID != p.config.Self && i.GRPC != "" {
				wanted[i.Key()] = i
			}
		}
	}
	return wanted
}

// reconcile starts what is new and ends what has left.
func (p *Prober) reconcile(wanted map[string]registry.Instance, start func(*target)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, t := range p.targets {
		if i, ok := wanted[key]; ok && i.GRPC == t.instance.GRPC {
			t.left.Store(false)
			continue
		} else if !ok && start != nil && p.config.Busy != nil {
			t.left.Store(true) // its goroutine ends when nothing waits for it
			continue
		}
		t.cancel()
		delete(p.targets, key)
	}
	for key, i := range wanted {
		if p.targets[key] == nil {
			t := &target{instance: i}
			p.targets[key] = t
			start(t)
		}
	}
}

// LastSeen returns when an instance last gave a sign of life; zero for never.
func (p *Prober) LastSeen(instance registry.Instance) time.Time {
	var seen time.Time
	if t := p.target(instance); t != nil {
		t.mu.Lock()
		seen = t.seen
		t.mu.Unlock()
	}
	if heard := p.heard(instance); heard.After(seen) {
		return heard
	}
	return seen
}

// RoundTrip returns how long the last ping took; zero for unknown.
func (p *Prober) RoundTrip(instance registry.Instance) time.Duration {
	t := p.target(instance)
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.roundTrip
}

// Asked returns the instances that are asked now, in order.
func (p *Prober) Asked() []registry.Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := make([]registry.Instance, 0, len(p.targets))
	for _, t := range p.targets {
		asked = append(asked, t.instance)
	}
	slices.SortFunc(asked, registry.Compare)
	return asked
}

func (p *Prober) target(instance registry.Instance) *target {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.targets[instance.Key()]
}

func (p *Prober) heard(instance registry.Instance) time.Time {
	if p.config.Heard == nil {
		return time.Time{}
	}
	return p.config.Heard(instance)
}

// ended forgets an instance that has left and that nothing waits for any more.
func (p *Prober) ended(t *target) bool {
	if !t.left.Load() || p.config.Busy(t.instance) { // asked without the lock: it has locks of its own
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !t.left.Load() {
		return false // it is back
	}
	if key := t.instance.Key(); p.targets[key] == t {
		delete(p.targets, key)
	}
	t.cancel()
	return true
}

// watch asks one instance until ctx ends, or it has left and nothing waits for it.
func (p *Prober) watch(ctx context.Context, t *target) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer func() { // so that series do not outnumber instances
		p.failures.DeleteLabelValues(t.instance.Service, t.instance.BootID)
		p.down.DeleteLabelValues(t.instance.Service, t.instance.BootID)
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if p.ended(t) {
			return
		}
		if quiet := p.config.Now().Sub(p.heard(t.instance)); quiet < p.config.Interval && !p.config.Directory.IsDown(t.instance, registry.PortGRPC) {
			timer.Reset(p.config.Interval - max(quiet, 0))
			continue
		}
		timer.Reset(p.ask(ctx, t))
	}
}

// ask pings once and returns when to ask again.
func (p *Prober) ask(ctx context.Context, t *target) time.Duration {
	began, start := p.config.Now(), time.Now()
	inner, cancel := context.WithTimeout(ctx, p.config.Timeout)
	err := p.config.Check(inner, t.instance)
	cancel()
	took := time.Since(start)
	switch {
	case ctx.Err() != nil:
		return 0
	case errors.Is(err, ErrNoWay):
		return p.config.Interval
	case err != nil && took > p.config.Timeout*3/2:
		// It was this process that stood still: whom it did not hear has perhaps answered.
		return 0
	case err != nil && t.left.Load() && took < p.config.Timeout:
		return p.config.Interval // it stops: it takes no connections any more, but ends what it has begun
	case err != nil && p.heard(t.instance).Before(began):
		p.failed(ctx, t, err, took >= p.config.Timeout)
		return p.config.Interval
	case err == nil:
		t.mu.Lock()
		t.seen, t.roundTrip = p.config.Now(), took
		t.mu.Unlock()
	}
	if p.config.Directory.IsDown(t.instance, registry.PortGRPC) {
		p.config.Directory.SetDown(t.instance, registry.PortGRPC, false)
		logx.WithContext(ctx).Infow("an instance answers again", logx.Field("instance", t.instance.Key()))
	}
	p.down.WithLabelValues(t.instance.Service, t.instance.BootID).Set(0)
	return p.config.Interval
}

func (p *Prober) failed(ctx context.Context, t *target, err error, silent bool) {
	p.failures.WithLabelValues(t.instance.Service, t.instance.BootID).Inc()
	p.down.WithLabelValues(t.instance.Service, t.instance.BootID).Set(1)
	if !p.config.Directory.IsDown(t.instance, registry.PortGRPC) {
		p.config.Directory.SetDown(t.instance, registry.PortGRPC, true)
		logx.WithContext(ctx).Errorw("an instance does not answer",
			logx.Field("instance", t.instance.Key()), logx.Field("error", err.Error()))
	}
	if silent && p.config.Down != nil {
		p.config.Down(t.instance)
	}
}
