package room

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"hongyan/api/identity"
	"hongyan/api/log"
	"hongyan/api/room"
	"hongyan/api/sync"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/httpx"
	"hongyan/platform/lease"
	"hongyan/platform/outbound"
	"hongyan/platform/sqldb"
	"hongyan/service/room/internal/identityserver"
	"hongyan/service/room/internal/lru"
	"hongyan/service/room/internal/store"
)

// Deps is what the service stands on.
type Deps struct {
	DB *sqldb.DB
	// Bus wakes the followers of the room log and this service, which follows identity's.
	Bus bus.Bus
	// Identity gives profiles; IdentityLog is its log.
	Identity    identitypb.IdentityClient
	IdentityLog logpb.LogClient
	// Sync tells whom users ignore and who takes no invites; without it nobody is ignored and everybody takes them.
	Sync syncpb.SyncClient
	// IdentityServers makes requests to identity servers; nil where there are none.
	IdentityServers *outbound.Client
	// Server is the one whose users may use the service, and for which it signs events.
	Server matrix.ServerName
	// ImportKey, where set, is what the server has signed with so far. A database that has a key keeps its own.
	ImportKey *event.SigningKey
	// Clock is time.Now where nil, Rand crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Service owns the room logs. See the package comment.
type Service struct {
	cfg    Config
	deps   Deps
	server matrix.ServerName

	store *store.Store
	// signer signs events with the key in the database.
	signer *event.Signer
	log    *eventlog.Log
	// cursors are how far identity's log has been followed.
	cursors *eventlog.Cursors
	// leases let one instance at a time follow.
	leases *lease.Leases
	rooms  *rooms
	reads  *reads
	// references are the reference hashes of events, for rooms of versions that need them.
	references *lru.Cache[matrix.EventID, string]
	// addresses asks identity servers.
	addresses *identityserver.Client
	// directory is how many rooms are in the directory.
	directory directorySize

	// gate counts the operations under way, so that Run waits for them.
	gate gate

	metrics *metrics
}

// New checks what it is given and keeps it. Prepare and Run make it work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("room: %w", err)
	}
	if deps.DB == nil || deps.Bus == nil || deps.Identity == nil || deps.IdentityLog == nil || deps.Server == "" {
		return nil, errors.New("room: DB, Bus, Identity, IdentityLog and Server are needed")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Rand == nil {
		deps.Rand = rand.Reader
	}
	s := &Service{
		cfg: cfg, deps: deps, server: deps.Server,
		addresses: identityserver.New(deps.IdentityServers, cfg.IdentityServers),
		store:     store.New(deps.DB), rooms: newRooms(cfg.CacheBytes), references: newReferences(),
	}
	s.metrics = newMetrics(deps.Metrics, s.rooms)
	return s, nil
}

// Prepare brings the database up to date and opens the log. It is called once, before Run and before any request.
func (s *Service) Prepare(ctx context.Context) error {
	opened, err := openDatabase(ctx, s.deps.DB, s.cfg.Shards, eventlog.Config{
		OnCommit: logrpc.Waker(s.deps.Bus, store.LogName), Metrics: s.deps.Metrics,
	})
	if err != nil {
		return fmt.Errorf("room: %w", err)
	}
	if s.signer, err = s.openSigner(ctx); err != nil {
		return fmt.Errorf("room: %w", err)
	}
	s.cursors, s.leases = opened.cursors, opened.leases
	s.log, s.reads = opened.log, newReads(opened.log, s.deps.Clock, s.cfg.CommitTimeout)
	s.reads.data = s.deps.Sync
	return nil
}

// Register adds the service's gRPC servers: hongyan.room.v1.Room and, with the room log, hongyan.log.v1.Log. It is called
// after Prepare. An event of the log whose redaction comes later in the shard may still be as it was: a follower that
// keeps events prunes them when it meets the redaction.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	roompb.RegisterRoomServer(reg, roomServer{s: s})
	logrpc.Register(reg, s.log)
}

// RegisterAdmin registers what only the operator of the machine may call.
func (s *Service) RegisterAdmin(reg grpc.ServiceRegistrar) {
	roompb.RegisterModerationServer(reg, moderationServer{s: s})
}

// Run writes rooms and, in one of the instances, follows identity's log until its context ends, or until the log fails. It then refuses new
// operations, and returns when those that were accepted are answered and durable.
func (s *Service) Run(ctx context.Context) error {
	if s.log == nil {
		return errors.New("room: Run before Prepare")
	}
	return s.run(ctx, s.log.Run)
}

// run is Run with what writes the log.
func (s *Service) run(ctx context.Context, writeLog func(context.Context) error) error {
	// The log outlives the operations that append to it.
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	// Without the log everything ends.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var appending, background sync.WaitGroup
	var err error
	appending.Go(func() {
		defer stop()
		err = writeLog(logCtx)
	})
	background.Go(func() { s.leases.Run(ctx, identityFollower, s.followAlone) })
	background.Go(func() { s.leases.Run(ctx, retentionLease, s.retain) })
	background.Go(func() { s.reads.receipts.run(ctx) })
	background.Go(func() { s.hearRivals(ctx) })
	background.Wait()
	s.gate.closeAndWait()
	stopLog()
	appending.Wait()
	return err
}

// Routes are the service's HTTP routes.
func Routes() []httpx.Route { return httpx.Routes((*Service)(nil).bindings()) }

// Handler serves Routes to authenticated callers.
func (s *Service) Handler() http.Handler {
	return httpx.MustServer("room", s.bindings(), httpx.Options{})
}

func (s *Service) bindings() []httpx.Binding {
	return slices.Concat(s.writeBindings(), s.readBindings(), s.reportBindings())
}

// now is the present in milliseconds since 1970.
func (s *Service) now() int64 { return s.deps.Clock().UnixMilli() }
