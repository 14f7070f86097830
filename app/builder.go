package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/bus"
	busmemory "hongyan/platform/bus/memory"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/gateway"
)

// builder holds what services are built of, and what was opened for them.
type builder struct {
	cfg     Config
	dir     *dataDir
	signer  *event.Signer
	bus     bus.Bus
	conns   *rpc.Conns
	local   *rpc.Local
	rpcOpts rpc.Options
	clock   func() time.Time
	rand    io.Reader
	metrics prometheus.Registerer

	units     []*unit
	servers   []*rpc.Server
	databases []*sqldb.DB
}

// newBuilder takes the data directory and makes what all services share. Close gives it back.
func newBuilder(cfg Config, opts Options) (*builder, error) {
	dir, err := takeDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	key, err := dir.signingKey(opts.Rand)
	if err != nil {
		dir.close()
		return nil, err
	}
	rpcOpts := rpc.Options{Registerer: opts.Metrics}
	conns, local := rpc.NewLocal(rpcOpts)
	return &builder{
		cfg: cfg, dir: dir, signer: event.NewSigner(matrix.ServerName(cfg.ServerName), key),
		bus: busmemory.New(0), conns: conns, local: local, rpcOpts: rpcOpts,
		clock: opts.Clock, rand: opts.Rand, metrics: opts.Metrics,
	}, nil
}

// build builds the services of the targets, each after what it needs.
func (b *builder) build(ctx context.Context, services []target) error {
	for _, t := range services {
		u, err := t.build(ctx, b)
		if err != nil {
			return fmt.Errorf("build %s: %w", t.name, err)
		}
		server := rpc.NewServer(t.name, b.rpcOpts)
		u.register(server)
		b.local.Add(server)
		b.units = append(b.units, u)
		b.servers = append(b.servers, server)
	}
	return nil
}

func (b *builder) openDatabase(ctx context.Context, service string) (*sqldb.DB, error) {
	db, err := b.cfg.openDatabase(ctx, service, b.dir)
	if err == nil {
		b.databases = append(b.databases, db)
	}
	return db, err
}

// upstreams are the services that were built so far, as the gateway reaches them.
func (b *builder) upstreams() []gateway.Upstream {
	var ups []gateway.Upstream
	routes := Routes()
	for _, u := range b.units {
		if u.handler != nil {
			ups = append(ups, gateway.Upstream{
				Service: u.name, Routes: routes[u.name], Transport: httpx.Local(u.handler),
			})
		}
	}
	return ups
}

// close gives everything back: the databases last but the data directory.
func (b *builder) close() error {
	errs := []error{b.bus.Close()}
	for _, db := range b.databases {
		errs = append(errs, db.Close())
	}
	b.dir.close()
	return errors.Join(errs...)
}
