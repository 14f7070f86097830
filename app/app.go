package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs"
	"hongyan/platform/registry"
	registrymemory "hongyan/platform/registry/memory"
	"hongyan/service/gateway"
)

// Options are what tests replace. The zero value is right for a server.
type Options struct {
	// Clock is time.Now where nil, Rand crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
	// Metrics registers the metrics and Gatherer serves them; nil for Prometheus' default registry.
	Metrics  prometheus.Registerer
	Gatherer prometheus.Gatherer
	// Version is the program's.
	Version string
}

// App is a built server.
type App struct {
	cfg      Config
	opts     Options
	b        *builder
	registry registry.Registry
	health   *obs.Health
	listener *gateway.Listener
	admin    *gateway.Listener
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
	b, err := newBuilder(cfg, opts)
	if err != nil {
		return nil, err
	}
	a := &App{
		cfg: cfg, opts: opts, b: b, registry: registrymemory.New(), health: &obs.Health{}, ready: make(chan struct{}),
	}
	if err := b.build(ctx, services); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	a.newListeners(certificates)
	return a, nil
}

// newListeners builds what serves the network; it opens no port.
func (a *App) newListeners(certificates *gateway.Certificates) {
	var edge http.Handler
	for _, u := range a.b.units {
		if u.edge != nil {
			edge = u.edge
		}
	}
	a.listener = gateway.NewListener("public listener", edge, certificates)
	if a.cfg.AdminListen != "" {
		a.admin = gateway.NewListener("admin listener", obs.AdminHandler(a.health, a.opts.Gatherer), nil)
	}
}

// Ready is closed when the server takes requests.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Addr is where the server takes requests, once it is ready.
func (a *App) Addr() net.Addr { return a.address }

// Close gives back what New took, where Run was not called.
func (a *App) Close() error {
	return errors.Join(a.registry.Close(), a.b.close())
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
	// The doors first: what was taken from them waits in the services, which end when all of it is answered.
	err = errors.Join(err, running.stopAfter(len(a.b.units)))
	drained()
	err = errors.Join(err, running.stop())
	for _, server := range a.b.servers {
		err = errors.Join(err, server.Close(drain))
	}
	return err
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
	for _, u := range a.b.units {
		running.start(u.name, u.run)
	}
	socket, err := listenAdmin(ctx, a.b)
	if err != nil {
		return err
	}
	running.start("admin socket", socket.run)
	if a.admin != nil {
		if err := a.admin.Listen(ctx, a.cfg.AdminListen); err != nil {
			return err
		}
		running.start("admin listener", func(ctx context.Context) error { return a.admin.Run(ctx, drain) })
	}
	if err := a.listener.Listen(ctx, a.cfg.Listen); err != nil {
		return err
	}
	a.address = a.listener.Addr()
	running.start("memory", giveMemoryBack)
	running.start("public listener", func(ctx context.Context) error { return a.listener.Run(ctx, drain) })
	return nil
}

// serve registers the services, is ready, and waits until ctx ends or something fails. Before it returns it
// deregisters the services and is ready no more.
func (a *App) serve(ctx context.Context, running *parts) (err error) {
	instances, err := a.instances()
	if err != nil {
		return err
	}
	defer func() {
		for _, instance := range instances {
			err = errors.Join(err, a.registry.Remove(context.WithoutCancel(ctx), instance))
		}
		a.health.SetReady(false)
	}()
	for _, instance := range instances {
		if err := a.registry.Put(ctx, instance); err != nil {
			return fmt.Errorf("register %s: %w", instance.Service, err)
		}
	}
	a.health.SetReady(true)
	logx.Infof("hongyan %s serves %s on %s", a.opts.Version, a.cfg.ServerName, a.cfg.Gateway.PublicURL)
	close(a.ready)
	select {
	case <-ctx.Done():
		logx.Info("stopping")
		return nil
	case err := <-running.failed:
		return err
	}
}

// instances are the records of the services in this process.
func (a *App) instances() ([]registry.Instance, error) {
	var boot [8]byte
	if _, err := io.ReadFull(a.opts.Rand, boot[:]); err != nil {
		return nil, fmt.Errorf("make a boot id: %w", err)
	}
	var instances []registry.Instance
	for _, u := range a.b.units {
		instances = append(instances, registry.Instance{
			Service: u.name, BootID: hex.EncodeToString(boot[:]), Version: a.opts.Version,
			Started: a.opts.Clock(), State: registry.Ready,
		})
	}
	return instances, nil
}
