package app

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/grpc"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	nodepb "hongyan/api/node"
	roompb "hongyan/api/room"
	socialpb "hongyan/api/social"
	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
	"hongyan/platform/outbound"
	"hongyan/platform/rpc"
	"hongyan/platform/sqldb"
	"hongyan/service/gateway"
	"hongyan/service/identity"
	"hongyan/service/keys"
	"hongyan/service/media"
	"hongyan/service/room"
	"hongyan/service/social"
	"hongyan/service/sync"
)

// targetAll is every service.
const targetAll = "all"

// target is what can be chosen to run. A target without build is a name for what it needs.
type target struct {
	name string
	// needs are the targets that start before it and stop after it.
	needs []string
	build func(context.Context, *builder) (*unit, error)
	// routes are what the gateway forwards to it.
	routes func() []httpx.Route
	// migrate brings the schema of its database up to date, as build does; nil where it has none.
	migrate func(context.Context, *sqldb.DB) error
	// logConns is how many connections to PostgreSQL its logs have besides those of its database; 0 is eventlog's default.
	logConns int
	// started are the tables that the first start fills, besides those of its logs and leases.
	started []string
}

// targets is the table of all targets: what there is, and what needs what.
func targets() []target {
	return []target{
		{name: "identity", migrate: identity.Migrate, routes: identity.Routes, build: buildIdentity},
		{name: "room", migrate: room.Migrate, started: []string{"signing_key"}, routes: room.Routes, needs: []string{"identity"}, build: buildRoom},
		{name: "keys", migrate: keys.Migrate, logConns: keys.LogConns, routes: keys.Routes, needs: []string{"identity"}, build: buildKeys},
		{name: "sync", migrate: sync.Migrate, routes: sync.Routes, needs: []string{"room", "keys"}, build: buildSync},
		{name: "media", migrate: media.Migrate, routes: media.Routes, build: buildMedia},
		{name: "social", migrate: social.Migrate, routes: social.Routes, needs: []string{"identity", "room", "sync"}, build: buildSocial},
		{name: "gateway", routes: gateway.Routes, needs: []string{"identity", "room", "keys", "sync", "media", "social"}, build: buildGateway},
		{name: targetAll, needs: []string{"gateway", "identity", "room", "keys", "sync", "media", "social"}},
	}
}

func targetNames() []string {
	var names []string
	for _, t := range targets() {
		names = append(names, t.name)
	}
	return names
}

func servicesWithDatabase() []string {
	var names []string
	for _, t := range targets() {
		if t.migrate != nil {
			names = append(names, t.name)
		}
	}
	return names
}

// Routes are the public routes by service: what the gateway serves.
func Routes() map[string][]httpx.Route {
	routes := map[string][]httpx.Route{}
	for _, t := range targets() {
		if t.routes != nil {
			routes[t.name] = t.routes()
		}
	}
	return routes
}

// resolveTargets returns the services that the names stand for, each after what it needs of those.
func resolveTargets(names []string) ([]target, error) {
	table := targets()
	chosen := map[string]bool{}
	var choose func(name string)
	choose = func(name string) {
		t := table[slices.IndexFunc(table, func(t target) bool { return t.name == name })]
		chosen[name] = true
		if t.build == nil {
			for _, need := range t.needs {
				choose(need)
			}
		}
	}
	for _, name := range names {
		if !slices.Contains(targetNames(), name) {
			return nil, fmt.Errorf("target %q: no such target%s (known: %s)",
				name, didYouMean(name, targetNames()), strings.Join(targetNames(), ", "))
		}
		choose(name)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("target: want at least one of %s", strings.Join(targetNames(), ", "))
	}
	var services []target
	for _, t := range table { // the table's order is one in which everything comes after what it needs
		if t.build != nil && chosen[t.name] {
			services = append(services, t)
		}
	}
	return services, nil
}

// missingFrom names the services that are not among these.
func missingFrom(services []target) []string {
	var missing []string
	for _, t := range targets() {
		if t.build != nil && !slices.ContainsFunc(services, func(s target) bool { return s.name == t.name }) {
			missing = append(missing, t.name)
		}
	}
	return missing
}

// unit is a service as the composition root has it.
type unit struct {
	name string
	// run works until its context ends, and returns when everything accepted is durable.
	run func(context.Context) error
	// register adds what other services may call.
	register func(grpc.ServiceRegistrar)
	// admin adds what the local socket serves; nil for nothing.
	admin func(grpc.ServiceRegistrar)
	// handler serves the target's routes; nil where they are served otherwise.
	handler http.Handler
	// drain answers what waits, spread over the time until its context ends; nil where nothing does.
	drain func(context.Context) error
	// edge takes what comes from outside; nil for all but the gateway.
	edge http.Handler
	// ready is closed when it takes requests; nil where that is at once.
	ready <-chan struct{}
	// awaits are the services that must have been there once before the process is to get requests of clients.
	awaits []string
	// leave is called before the process leaves the registry; nil for nothing to do.
	leave func()
	// traffic is what it took from clients; nil for all but the gateway.
	traffic func() []*nodepb.Traffic
}

func buildIdentity(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "identity")
	if err != nil {
		return nil, err
	}
	s, err := identity.New(ctx, b.cfg.Identity, identity.Deps{
		Social: socialpb.NewSocialClient(b.cluster.Conns().Conn("social")),
		DB:     db, Bus: b.cluster.Bus(), Gateways: gateways{b.cluster.Conns()}, ServerName: b.cfg.ServerName, Clock: b.clock, Rand: b.rand,
		Metrics: obs.OfService(b.metrics, "identity"),
	})
	if err != nil {
		return nil, err
	}
	return &unit{name: "identity", run: s.Run, register: s.Register, admin: s.RegisterAdmin, handler: s.Handler()}, nil
}

// gateways reaches every gateway.
type gateways struct{ conns *rpc.Conns }

// ForgetTokens tells them all to forget tokens, and returns nil when all have.
func (g gateways) ForgetTokens(ctx context.Context, req *gatewaypb.ForgetTokensRequest) error {
	return g.conns.Broadcast(ctx, "gateway", func(ctx context.Context, conn grpc.ClientConnInterface) error {
		_, err := gatewaypb.NewGatewayClient(conn).ForgetTokens(ctx, req)
		return err
	})
}

func buildRoom(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "room")
	if err != nil {
		return nil, err
	}
	key, err := b.dir.oldSigningKey()
	if err != nil {
		return nil, err
	}
	identityServers, err := b.identityServers()
	if err != nil {
		return nil, err
	}
	s, err := room.New(b.cfg.Room, room.Deps{
		IdentityServers: identityServers,
		DB:              db, Bus: b.cluster.Bus(), Server: matrix.ServerName(b.cfg.ServerName), ImportKey: key, Clock: b.clock, Rand: b.rand,
		Identity:    identitypb.NewIdentityClient(b.cluster.Conns().Conn("identity")),
		IdentityLog: logpb.NewLogClient(b.cluster.Conns().Conn("identity")),
		Sync:        syncpb.NewSyncClient(b.cluster.Conns().Conn("sync")),
		Metrics:     obs.OfService(b.metrics, "room"),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return &unit{name: "room", run: s.Run, register: s.Register, admin: s.RegisterAdmin, handler: s.Handler()}, nil
}

// identityServers makes requests to the identity servers that the operator trusts, wherever they are; nil where there are none.
func (b *builder) identityServers() (*outbound.Client, error) {
	if len(b.cfg.Room.IdentityServers) == 0 {
		return nil, nil
	}
	return outbound.New(outbound.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, Ports: []int{0}, HTTPSOnly: true,
		UserAgent: "Hongyan",
	})
}

func buildKeys(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "keys")
	if err != nil {
		return nil, err
	}
	s, err := keys.New(b.cfg.Keys, keys.Deps{
		DB: db, Bus: b.cluster.Bus(), Server: matrix.ServerName(b.cfg.ServerName), Clock: b.clock, Rand: b.rand,
		Identity:    identitypb.NewIdentityClient(b.cluster.Conns().Conn("identity")),
		IdentityLog: logpb.NewLogClient(b.cluster.Conns().Conn("identity")),
		Keys:        keyspb.NewKeysClient(b.cluster.Conns().Conn("keys")),
		Room:        roompb.NewRoomClient(b.cluster.Conns().Conn("room")),
		Metrics:     obs.OfService(b.metrics, "keys"),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return &unit{name: "keys", run: s.Run, register: s.Register, handler: s.Handler()}, nil
}

func buildSync(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "sync")
	if err != nil {
		return nil, err
	}
	s, err := sync.New(b.cfg.Sync, sync.Deps{
		DB: db, Bus: b.cluster.Bus(), Clock: b.clock,
		Room:    roompb.NewRoomClient(b.cluster.Conns().Conn("room")),
		RoomLog: logpb.NewLogClient(b.cluster.Conns().Conn("room")),
		Keys:    keyspb.NewKeysClient(b.cluster.Conns().Conn("keys")),
		KeysLog: logpb.NewLogClient(b.cluster.Conns().Conn("keys")),
		Metrics: obs.OfService(b.metrics, "sync"),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return &unit{name: "sync", run: s.Run, register: s.Register, handler: s.Handler(), drain: s.Drain, ready: s.Ready()}, nil
}

func buildMedia(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "media")
	if err != nil {
		return nil, err
	}
	blobs, err := b.openBlobs(ctx)
	if err != nil {
		return nil, err
	}
	s, err := media.New(b.cfg.Media, media.Deps{
		DB: db, Blobs: blobs, Bus: b.cluster.Bus(), Server: matrix.ServerName(b.cfg.ServerName), Clock: b.clock, Rand: b.rand,
		Metrics: obs.OfService(b.metrics, "media"),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return &unit{
		name: "media", run: s.Run, register: func(grpc.ServiceRegistrar) {}, admin: s.RegisterAdmin, handler: s.Handler(), drain: s.Drain,
	}, nil
}

func buildSocial(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "social")
	if err != nil {
		return nil, err
	}
	s, err := social.New(b.cfg.Social, social.Deps{
		DB: db, Bus: b.cluster.Bus(), Server: matrix.ServerName(b.cfg.ServerName),
		Identity:    identitypb.NewIdentityClient(b.cluster.Conns().Conn("identity")),
		IdentityLog: logpb.NewLogClient(b.cluster.Conns().Conn("identity")),
		RoomLog:     logpb.NewLogClient(b.cluster.Conns().Conn("room")),
		Sync:        syncpb.NewSyncClient(b.cluster.Conns().Conn("sync")),
		Metrics:     obs.OfService(b.metrics, "social"),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return &unit{name: "social", run: s.Run, register: s.Register, handler: s.Handler()}, nil
}

func buildGateway(_ context.Context, b *builder) (*unit, error) {
	upstreams, err := b.upstreams()
	if err != nil {
		return nil, err
	}
	var awaits []string
	for _, up := range upstreams {
		awaits = append(awaits, up.Service)
	}
	s, err := gateway.New(b.cfg.Gateway, gateway.Deps{
		Identity:     identitypb.NewIdentityClient(b.cluster.Conns().Conn("identity")),
		Upstreams:    upstreams,
		Foreign:      b.cluster.Foreign(targetNames()),
		RoomVersions: b.roomVersions(),
		// What clients look for before they ask its unstable path (room's mutual.go).
		UnstableFeatures: map[string]bool{"uk.half-shot.msc2666.query_mutual_rooms": true},
		RateLimits:       b.cfg.RateLimits,
		Bus:              b.cluster.Bus(),
		TrustTraces:      b.cfg.Trace.TrustIncoming,
		Ready:            b.ready,
		Clock:            b.clock, Rand: b.rand, Metrics: b.metrics,
	})
	if err != nil {
		return nil, err
	}
	return &unit{
		name: "gateway", run: s.Run, register: s.Register, edge: s, drain: s.Drain, leave: s.Leave, awaits: awaits, traffic: publicTraffic(s),
	}, nil
}

// roomVersions is what m.room_versions tells clients.
func (b *builder) roomVersions() gateway.RoomVersions {
	versions := gateway.RoomVersions{Default: b.cfg.Room.DefaultVersion, Available: map[string]string{}}
	for _, v := range event.Versions() {
		versions.Available[string(v)] = "stable"
	}
	return versions
}
