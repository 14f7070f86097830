package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/discovery"
	"hongyan/platform/obs"
	"hongyan/service/gateway"
)

// The doors of a process, by their names.
const (
	publicListener   = "public listener"
	clusterListeners = "cluster listeners"
)

// notDeployed is how long after another service was found one that is missing is taken for not deployed.
const notDeployed = 30 * time.Second

// handOverTime is how long load balancers have to find a new gateway before another one leaves.
const handOverTime = 1500 * time.Millisecond

// Options are what tests replace. The zero value is right for a server.
type Options struct {
	// Clock is time.Now where nil, Rand crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
	// Metrics registers the metrics and Gatherer serves them; nil for Prometheus' default registry.
	Metrics  prometheus.Registerer
	Gatherer prometheus.Gatherer
	// Version is the program's, BootID the process's, made where empty.
	Version, BootID string
}

// App is a built server.
type App struct {
	cfg      Config
	opts     Options
	b        *builder
	health   *obs.Health
	listener *gateway.Listener // nil without a gateway
	dns      *discovery.DNS
	ready    chan struct{}
	address  net.Addr
}

// New builds the services of cfg, which Load or Validate has checked. Nothing runs yet; Run or Close must follow.
func New(ctx context.Context, cfg Config, opts Options) (*App, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	if opts.BootID == "" {
		var err error
		if opts.BootID, err = NewBootID(opts.Rand); err != nil {
			return nil, err
		}
	}
	if opts.Metrics == nil {
		opts.Metrics, opts.Gatherer = prometheus.DefaultRegisterer, prometheus.DefaultGatherer
	}
	services, err := resolveTargets(cfg.Target)
	if err != nil {
		return nil, err
	}
	certificates, err := cfg.certificates(opts.Clock) // before anything is made that a failed start would leave behind
	if err != nil {
		return nil, err
	}
	obs.RegisterProcess(opts.Metrics, obs.Identity{Service: cfg.ProcessName(), BootID: opts.BootID, Version: opts.Version})
	b, err := newBuilder(ctx, cfg, opts)
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, opts: opts, b: b, health: &obs.Health{}, ready: make(chan struct{})}
	b.public = a.Addr
	b.ready = a.isReady
	a.health.Check("services", a.checkServices)
	if err := b.build(ctx, services); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if a.dns, err = discovery.NewDNS(cfg.DNS, b.cluster.Directory(), opts.Clock); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.newListeners(certificates)
	a.registerState(certificates)
	return a, nil
}

func (a *App) isReady() bool {
	ready, _ := a.health.Ready()
	return ready
}

// checkServices says which services a gateway waits for.
func (a *App) checkServices() error {
	if awaited := a.b.cluster.Awaited(); len(awaited) > 0 {
		return fmt.Errorf("no %s was found yet", strings.Join(awaited, ", "))
	}
	return nil
}

// newListeners builds what serves the network; it opens no port.
func (a *App) newListeners(certificates *gateway.Certificates) {
	for _, u := range a.b.units {
		if u.edge != nil {
			a.listener = gateway.NewListener(publicListener, u.edge, certificates)
		}
	}
	if a.cfg.AdminListen != "" {
		a.b.admin = a.newAdminListener()
	}
}

// registerState registers what is read of the process when somebody asks for it.
func (a *App) registerState(certificates *gateway.Certificates) {
	obs.Gauge(a.opts.Metrics, "hongyan_ready", "1 while the process takes requests, as /readyz says.", func() float64 {
		if a.isReady() {
			return 1
		}
		return 0
	})
	if certificates != nil {
		obs.Gauge(a.opts.Metrics, "hongyan_gateway_certificate_expiry_seconds",
			"When the TLS certificate in use ends, in seconds of Unix time.", func() float64 { return float64(certificates.Expiry().Unix()) })
	}
}

// Ready is closed when the server takes requests. One that waits for services elsewhere answers those that it needs them for
// with 503, and is not to be given any yet: /readyz and load balancers are told later.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Addr is where the server takes requests of clients, once it is ready; nil where it has no gateway.
func (a *App) Addr() net.Addr { return a.address }

// Close gives back what New took, where Run was not called.
func (a *App) Close() error {
	return a.b.close()
}

// Run starts everything, serves until ctx ends or a part fails, and stops everything. It gives back what New took.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.Close()) }()
	running := newParts()
	drain, endDrain := context.WithCancel(context.WithoutCancel(ctx))
	defer endDrain()
	if err := a.start(ctx, drain, running); err != nil {
		endDrain()
		return errors.Join(err, running.stop())
	}
	err = a.serve(ctx, running)
	limit := time.AfterFunc(a.cfg.DrainTimeout, endDrain)
	defer limit.Stop()
	drained := a.answerParked(drain)
	a.leave(ctx, drain)
	// The doors first: what was taken from them waits in the services, which end when all of it is answered. Clients and
	// other processes have the same time: neither waits for the others' requests. The public door closes when what it had in
	// hand is answered: a load balancer that finds it closed takes the gateway for dead, and breaks off what it waits for.
	running.end(clusterListeners)
	if a.listener != nil {
		select {
		case <-a.listener.Answered():
		case <-drain.Done():
		}
	}
	running.end(publicListener)
	err = errors.Join(err, running.stopAfter(1+len(a.b.units)))
	drained()
	err = errors.Join(err, running.stop())
	for _, server := range a.b.servers {
		err = errors.Join(err, server.Close(drain))
	}
	return err
}

// leave sends clients away, and keeps the doors open for who has not heard yet that this process stops: other processes,
// load balancers, and who waits for an answer.
func (a *App) leave(ctx, drain context.Context) {
	if a.listener != nil {
		a.listener.Leave()
	}
	if ctx.Err() == nil { // something failed: there is no time
		return
	}
	timer := time.NewTimer(a.cfg.DrainSpread)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-drain.Done():
	}
}

// answerParked has parked polls answered, and returns a function that waits until they are. The doors close at the same
// time: whoever is answered finds another instance.
func (a *App) answerParked(drain context.Context) (wait func()) {
	spread, cancel := context.WithTimeout(drain, a.cfg.DrainSpread)
	var answered sync.WaitGroup
	for _, u := range a.b.units {
		if u.drain == nil {
			continue
		}
		answered.Go(func() {
			if err := u.drain(spread); err != nil {
				logx.Infof("%s: %v", u.name, err)
			}
		})
	}
	return func() {
		answered.Wait()
		cancel()
	}
}

// start starts the services and, when they run, opens the doors: the public one last.
func (a *App) start(ctx, drain context.Context, running *parts) error {
	running.start("cluster", a.b.cluster.Run)
	for _, u := range a.b.units {
		running.start(u.name, u.run)
	}
	socket, err := listenAdmin(ctx, a.b)
	if err != nil {
		return err
	}
	running.start("admin socket", socket.run)
	if a.b.admin != nil {
		if err := a.listenAdminHTTP(ctx); err != nil {
			return err
		}
	}
	if admin := a.b.admin; admin != nil {
		running.start("admin listener", func(ctx context.Context) error { return admin.Run(ctx, drain) })
	}
	running.start("memory", giveMemoryBack)
	if where, err := a.dns.Listen(ctx); err != nil {
		return err
	} else if where != "" {
		logx.Infof("answer DNS for %s on %s", a.cfg.DNS.Zone, where)
	}
	running.start("dns", a.dns.Run)
	if err := a.b.cluster.Listen(ctx); err != nil {
		return err
	}
	running.start(clusterListeners, func(ctx context.Context) error { return a.b.cluster.Serve(ctx, drain) })
	if a.listener == nil {
		return nil
	}
	if err := a.listener.Listen(ctx, a.cfg.Listen); err != nil {
		return err
	}
	a.address = a.listener.Addr()
	running.start(publicListener, func(ctx context.Context) error { return a.listener.Run(ctx, drain) })
	return nil
}

// serve registers the services, is ready, and waits until ctx ends or something fails. Before it returns it
// deregisters the services and is ready no more. Where it stops because it was told to, others have been found by then.
func (a *App) serve(ctx context.Context, running *parts) error {
	defer func() {
		if ctx.Err() != nil { // otherwise something failed: there is no time
			a.b.cluster.HandOver(context.WithoutCancel(ctx), handOverTime)
		}
		for _, u := range a.b.units {
			if u.leave != nil {
				u.leave()
			}
		}
		a.health.SetReady(false)
		a.b.cluster.Deregister(context.WithoutCancel(ctx))
	}()
	if err := during(ctx, running, a.b.cluster.Register); err != nil || ctx.Err() != nil {
		return stopping(ctx, err)
	}
	waits := a.b.cluster.Awaited()
	if len(waits) > 0 {
		logx.Infof("wait for %s", strings.Join(waits, ", "))
		close(a.ready)
		settle := func(ctx context.Context) error { return a.b.cluster.Settle(ctx, notDeployed) }
		if err := during(ctx, running, settle); err != nil || ctx.Err() != nil {
			return stopping(ctx, err)
		}
	}
	a.health.SetReady(true)
	a.announce()
	if len(waits) == 0 {
		close(a.ready)
	}
	select {
	case <-ctx.Done():
		return stopping(ctx, nil)
	case err := <-running.failed:
		return err
	}
}

// during does something that may take its time, until ctx ends or a part fails.
func during(ctx context.Context, running *parts, do func(context.Context) error) error {
	doing, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- do(doing) }()
	select {
	case err := <-done:
		return err
	case err := <-running.failed:
		stop()
		if e := <-done; !errors.Is(e, context.Canceled) { // it was told to stop
			err = errors.Join(err, e)
		}
		return err
	}
}

// stopping returns what keeps the server from running: nothing where it was told to stop.
func stopping(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	logx.Info("stopping")
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// announce says that the server takes requests.
func (a *App) announce() {
	where := "for other processes"
	if a.listener != nil {
		where = "on " + a.cfg.Gateway.PublicURL
	}
	names := make([]string, len(a.b.units))
	for i, u := range a.b.units {
		names[i] = u.name
	}
	logx.Infof("hongyan %s serves %s (%s) %s", a.opts.Version, a.cfg.ServerName, strings.Join(names, ", "), where)
}
