package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	identitypb "hongyan/api/identity"
	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
	"hongyan/service/keys/internal/backup"
	"hongyan/service/keys/internal/store"
)

// Deps is what the service stands on.
type Deps struct {
	DB *sqldb.DB
	// Bus wakes the followers of both logs and this service, which follows identity's.
	Bus bus.Bus
	// Identity knows devices and checks authentication; IdentityLog is its log.
	Identity    identitypb.IdentityClient
	IdentityLog logpb.LogClient
	// Keys reaches the instances of this service: claims go to the owner of the user.
	Keys keyspb.KeysClient
	// Room knows who shares an encrypted room.
	Room roompb.RoomClient
	// Server is the one whose users may use the service.
	Server matrix.ServerName
	// Clock is time.Now where nil, Rand crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Service is the keys service. See the package comment.
type Service struct {
	cfg  Config
	deps Deps

	store *store.Store
	database
	userStreams, deviceListStreams *streams

	turns turns
	// large bounds the reads that are about many users.
	large chan struct{}
	// bulky bounds the requests that send much to devices.
	bulky chan struct{}

	// backup is key backup.
	backup *backup.Backup

	metrics *metrics
}

// New checks what it is given and keeps it. Prepare and Run make it work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Bus == nil || deps.Identity == nil || deps.IdentityLog == nil || deps.Keys == nil ||
		deps.Room == nil || deps.Server == "" {
		return nil, errors.New("keys: DB, Bus, Identity, IdentityLog, Keys, Room and Server are needed")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Rand == nil {
		deps.Rand = rand.Reader
	}
	backups, err := backup.New(cfg.Backup, deps.DB, deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &Service{
		cfg: cfg, deps: deps, store: store.New(deps.DB), backup: backups, turns: newTurns(), large: make(chan struct{}, cfg.LargeQueries),
		bulky: make(chan struct{}, maxBulky), metrics: newMetrics(deps.Metrics),
	}, nil
}

// Prepare brings the database up to date and opens the logs. It is called once, before Run and before any request.
func (s *Service) Prepare(ctx context.Context) error {
	opened, err := openDatabase(ctx, s.deps.DB, func(log string) eventlog.Config {
		c := eventlog.Config{
			Committers: userCommitters, TailBytes: userTailBytes,
			OnCommit: logrpc.Waker(s.deps.Bus, log), Metrics: s.deps.Metrics,
		}
		if log == store.DeviceListLog {
			c.Committers, c.TailBytes = deviceListCommitters, deviceListTailBytes
		}
		return c
	})
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	s.database = opened
	s.userStreams, s.deviceListStreams = newStreams(opened.users), newStreams(opened.deviceList)
	return nil
}

// Run writes both logs and, in one of the instances, follows identity's until its context ends, or until a log fails. It
// returns when what was accepted is durable.
func (s *Service) Run(ctx context.Context) error {
	if s.users == nil {
		return errors.New("keys: Run before Prepare")
	}
	// The logs outlive what appends to them.
	logCtx, stopLogs := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLogs()
	// Without a log everything ends.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var appending, background sync.WaitGroup
	var errs [2]error
	for i, log := range []*eventlog.Log{s.users, s.deviceList} {
		appending.Go(func() {
			defer stop()
			errs[i] = log.Run(logCtx)
		})
	}
	background.Go(func() { s.leases.Run(ctx, identityFollower, s.follow) })
	background.Go(func() { s.backup.Run(ctx) })
	background.Wait()
	stopLogs()
	appending.Wait()
	return errors.Join(errs[:]...)
}

// Register offers the service's gRPC servers: hongyan.keys.v1.Keys and, with both logs, hongyan.log.v1.Log. It is called
// after Prepare.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	keyspb.RegisterKeysServer(reg, keysServer{s: s})
	logrpc.RegisterNamed(reg, s.users, map[string]logrpc.Log{store.UserLog: s.users, store.DeviceListLog: s.deviceList})
}

// Routes are the service's HTTP routes.
func Routes() []httpx.Route { return httpx.Routes((*Service)(nil).bindings()) }

// Handler serves Routes to authenticated callers.
func (s *Service) Handler() http.Handler {
	return httpx.MustServer("keys", s.bindings(), httpx.Options{})
}
