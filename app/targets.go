package app

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/platform/rpc"
	"hongyan/service/gateway"
	"hongyan/service/identity"
	"hongyan/service/room"
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
	// database says that it has one.
	database bool
}

// targets is the table of all targets: what there is, and what needs what.
func targets() []target {
	return []target{
		{name: "identity", database: true, routes: identity.Routes, build: buildIdentity},
		{name: "room", database: true, routes: room.Routes, needs: []string{"identity"}, build: buildRoom},
		{name: "sync", database: true, routes: sync.Routes, needs: []string{"room"}, build: buildSync},
		{name: "gateway", routes: gateway.Routes, needs: []string{"identity", "room", "sync"}, build: buildGateway},
		{name: targetAll, needs: []string{"gateway", "identity", "room", "sync"}},
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
		if t.database {
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

// resolveTargets returns the services that the names stand for, each after what it needs. All of them must be there:
// services in several processes find each other through a shared registry, which this version does not have.
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
	var services []target
	var missing []string
	for _, t := range table { // the table's order is one in which everything comes after what it needs
		switch {
		case t.build == nil:
		case chosen[t.name]:
			services = append(services, t)
		default:
			missing = append(missing, t.name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("target %s: %s would be missing: this version runs all services in one process, "+
			"since services in several processes need a shared registry (use --target all)",
			strings.Join(names, ","), strings.Join(missing, ", "))
	}
	return services, nil
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
}

func buildIdentity(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "identity")
	if err != nil {
		return nil, err
	}
	s, err := identity.New(ctx, b.cfg.Identity, identity.Deps{
		DB: db, Bus: b.bus, Gateways: gateways{b.conns}, ServerName: b.cfg.ServerName, Clock: b.clock, Rand: b.rand,
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
	s, err := room.New(b.cfg.Room, room.Deps{
		DB: db, Bus: b.bus, Signer: b.signer, Clock: b.clock, Rand: b.rand,
		Identity:    identitypb.NewIdentityClient(b.conns.Conn("identity")),
		IdentityLog: logpb.NewLogClient(b.conns.Conn("identity")),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return &unit{name: "room", run: s.Run, register: s.Register, handler: s.Handler()}, nil
}

func buildSync(ctx context.Context, b *builder) (*unit, error) {
	db, err := b.openDatabase(ctx, "sync")
	if err != nil {
		return nil, err
	}
	s, err := sync.New(b.cfg.Sync, sync.Deps{
		DB: db, Bus: b.bus, Clock: b.clock,
		Room:    roompb.NewRoomClient(b.conns.Conn("room")),
		RoomLog: logpb.NewLogClient(b.conns.Conn("room")),
	})
	if err != nil {
		return nil, err
	}
	if err := s.Prepare(ctx); err != nil {
		return nil, err
	}
	return &unit{name: "sync", run: s.Run, register: s.Register, handler: s.Handler(), drain: s.Drain}, nil
}

func buildGateway(_ context.Context, b *builder) (*unit, error) {
	s, err := gateway.New(b.cfg.Gateway, gateway.Deps{
		Identity:     identitypb.NewIdentityClient(b.conns.Conn("identity")),
		Upstreams:    b.upstreams(),
		RoomVersions: b.roomVersions(),
		RateLimits:   b.cfg.RateLimits,
		Clock:        b.clock, Rand: b.rand, Metrics: b.metrics,
	})
	if err != nil {
		return nil, err
	}
	return &unit{name: "gateway", run: s.Run, register: s.Register, edge: s}, nil
}

// roomVersions is what m.room_versions tells clients.
func (b *builder) roomVersions() gateway.RoomVersions {
	versions := gateway.RoomVersions{Default: b.cfg.Room.DefaultVersion, Available: map[string]string{}}
	for _, v := range event.Versions() {
		versions.Available[string(v)] = "stable"
	}
	return versions
}
