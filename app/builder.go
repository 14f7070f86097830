package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/cluster"
	"hongyan/platform/eventlog"
	"hongyan/platform/obs"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/gateway"
)

// builder holds what services are built of, and what was opened for them.
type builder struct {
	cfg     Config
	dir     *dataDir
	cluster *cluster.Cluster
	rpcOpts rpc.Options
	clock   func() time.Time
	rand    io.Reader
	metrics prometheus.Registerer
	// public is where the edge listens, once it does.
	public func() net.Addr
	// ready tells whether the process is to get requests.
	ready func() bool
	// admin is the listener for monitoring, nil for none.
	admin *gateway.Listener

	units     []*unit
	servers   []*rpc.Server
	databases []*sqldb.DB
}

// newBuilder takes the data directory and makes what all services share. Close gives it back.
func newBuilder(ctx context.Context, cfg Config, opts Options) (*builder, error) {
	b := &builder{}
	dir, err := takeDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	rpcOpts := rpc.Options{Registerer: opts.Metrics, Idempotent: idempotent}
	c, err := cluster.Open(ctx, cfg.Cluster, cluster.Deps{
		BootID: opts.BootID, Version: opts.Version, Shards: cfg.Room.Shards, ShardOf: eventlog.ShardOf,
		RPC: rpcOpts, Edge: "gateway", Clock: opts.Clock, Metrics: opts.Metrics, Admin: b.adminAddr,
	})
	if err != nil {
		dir.close()
		return nil, err
	}
	*b = builder{
		cfg: cfg, dir: dir, cluster: c, rpcOpts: rpcOpts,
		clock: opts.Clock, rand: opts.Rand, metrics: opts.Metrics,
	}
	return b, nil
}

// adminAddr is where monitoring reaches this process, once it listens; nil for nowhere.
func (b *builder) adminAddr() net.Addr {
	if b.admin == nil {
		return nil
	}
	return b.admin.Addr()
}

// NewBootID makes the name of this process among all others, and among its own earlier lives.
func NewBootID(random io.Reader) (string, error) {
	var boot [8]byte
	if _, err := io.ReadFull(random, boot[:]); err != nil {
		return "", fmt.Errorf("make a boot id: %w", err)
	}
	return hex.EncodeToString(boot[:]), nil
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
		member := cluster.Member{Name: t.name, RPC: server, Handler: u.handler, Ready: u.ready, Awaits: u.awaits, Traffic: u.traffic}
		if u.edge != nil {
			member.Public = b.public
		}
		if err := b.cluster.Add(member); err != nil {
			return err
		}
		b.units = append(b.units, u)
		b.servers = append(b.servers, server)
	}
	return nil
}

func (b *builder) openDatabase(ctx context.Context, service string) (*sqldb.DB, error) {
	db, err := b.cfg.openDatabase(ctx, service, b.dir, obs.OfService(b.metrics, service))
	if err == nil {
		b.databases = append(b.databases, db)
	}
	return db, err
}

// upstreams are the services that the gateway forwards to.
func (b *builder) upstreams() ([]gateway.Upstream, error) {
	var ups []gateway.Upstream
	for _, t := range targets() {
		if t.name == "gateway" || t.routes == nil {
			continue
		}
		transport, err := b.cluster.Upstream(t.name)
		if err != nil {
			return nil, err
		}
		ups = append(ups, gateway.Upstream{Service: t.name, Routes: t.routes(), Transport: transport})
	}
	return ups, nil
}

// close gives everything back: the databases last but the data directory.
func (b *builder) close() error {
	errs := []error{b.cluster.Close()}
	for _, db := range b.databases {
		errs = append(errs, db.Close())
	}
	b.dir.close()
	return errors.Join(errs...)
}
