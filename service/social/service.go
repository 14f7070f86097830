package social

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	identitypb "hongyan/api/identity"
	logpb "hongyan/api/log"
	syncpb "hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/httpx"
	"hongyan/platform/lease"
	"hongyan/platform/sqldb"
	"hongyan/service/social/internal/store"
)

// Deps is what the service stands on.
type Deps struct {
	DB *sqldb.DB
	// Bus wakes this service, which follows logs.
	Bus bus.Bus
	// Identity knows accounts and profiles; IdentityLog is its log.
	Identity    identitypb.IdentityClient
	IdentityLog logpb.LogClient
	// RoomLog is the room log.
	RoomLog logpb.LogClient
	// Sync knows whom users ignore.
	Sync syncpb.SyncClient
	// Server is the one whose users there are.
	Server matrix.ServerName
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Service is the social service. See the package comment.
type Service struct {
	cfg  Config
	deps Deps

	store   *store.Store
	cursors *eventlog.Cursors
	leases  *lease.Leases
	// people and rooms are the logs that are followed.
	people, rooms followed
	// looks are looks at the cursors that are under way.
	looks singleflight.Group

	// searches bounds the searches that are done at once.
	searches chan struct{}
	metrics  *metrics
}

// New checks what it is given and keeps it. Prepare and Run make it work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Bus == nil || deps.Identity == nil || deps.IdentityLog == nil || deps.RoomLog == nil ||
		deps.Sync == nil || deps.Server == "" {
		return nil, errors.New("social: DB, Bus, Identity, IdentityLog, RoomLog, Sync and Server are needed")
	}
	return &Service{
		cfg: cfg, deps: deps, store: store.New(deps.DB),
		people:   followed{name: identityLog, source: logrpc.NewRemote(deps.IdentityLog)},
		rooms:    followed{name: roomLog, source: logrpc.NewRemote(deps.RoomLog)},
		searches: make(chan struct{}, cfg.DirectorySearches), metrics: newMetrics(deps.Metrics),
	}, nil
}

// databaseName is what the tables of cursors and leases begin with.
const databaseName = "social"

// openDatabase brings the database's schema up to date and opens what is in it besides the tables of the store.
func openDatabase(ctx context.Context, db *sqldb.DB) (*eventlog.Cursors, *lease.Leases, error) {
	if err := store.Migrate(ctx, db); err != nil {
		return nil, nil, err
	}
	cursors, err := eventlog.OpenCursors(ctx, db, databaseName)
	if err != nil {
		return nil, nil, err
	}
	leases, err := lease.Open(ctx, db, databaseName, lease.Config{})
	return cursors, leases, err
}

// Migrate brings the schema of the service's database up to date, as Prepare does.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	_, _, err := openDatabase(ctx, db)
	return err
}

// Prepare brings the database up to date. It is called once, before Run and before any request.
func (s *Service) Prepare(ctx context.Context) (err error) {
	if s.cursors, s.leases, err = openDatabase(ctx, s.deps.DB); err != nil {
		return fmt.Errorf("social: %w", err)
	}
	return nil
}

// Run follows, in one of the instances each, identity's log and the room log until its context ends.
func (s *Service) Run(ctx context.Context) error {
	if s.leases == nil {
		return errors.New("social: Run before Prepare")
	}
	var background sync.WaitGroup
	background.Go(func() { s.leases.Run(ctx, s.people.name, s.followPeople) })
	background.Go(func() { s.leases.Run(ctx, s.rooms.name, s.followRooms) })
	background.Wait()
	return nil
}

// Routes are the service's HTTP routes.
func Routes() []httpx.Route { return httpx.Routes((*Service)(nil).bindings()) }

// Handler serves Routes to authenticated callers.
func (s *Service) Handler() http.Handler {
	return httpx.MustServer("social", s.bindings(), httpx.Options{})
}
