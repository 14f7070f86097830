package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	gatewaypb "hongyan/api/gateway"
	identitypb "hongyan/api/identity"
	socialpb "hongyan/api/social"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
	"hongyan/service/identity/internal/password"
	"hongyan/service/identity/internal/store"
)

// LogName names the service's log, on the bus and in the database.
const LogName = "identity"

// tailBytes is the memory for the newest entries of the log, which are few and small.
const tailBytes = 4 << 20

// Gateways tells every registered gateway to forget what it knows of a user's tokens. It returns nil when all have
// confirmed.
type Gateways interface {
	ForgetTokens(ctx context.Context, req *gatewaypb.ForgetTokensRequest) error
}

// Deps is what the service needs. Clock and Rand may be nil: the system's.
type Deps struct {
	DB *sqldb.DB
	// Bus wakes the followers of the log.
	Bus      logrpc.Publisher
	Gateways Gateways
	// Social tells who may know of whom, where profiles are for those alone (Config.ProfileLookup).
	Social     socialpb.SocialClient
	ServerName string
	Clock      func() time.Time
	// Rand must be safe for concurrent use.
	Rand io.Reader
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Service is the identity service.
type Service struct {
	cfg    Config
	deps   Deps
	server matrix.ServerName
	store  *store.Store
	log    *eventlog.Log
	hasher *password.Hasher
	// fromOne counts failed checks by account and origin, fromAll by account.
	fromOne, fromAll *failures
	seen             *sightings
	handler          http.Handler
	metrics          *metrics
}

// New brings the database's schema up to date and returns the service. It starts nothing; changes are written, and so
// answered, while Run runs.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Bus == nil || deps.Gateways == nil {
		return nil, errors.New("identity: DB, Bus and Gateways are required")
	}
	if cfg.ProfileLookup == ProfileLookupShared && deps.Social == nil {
		return nil, errors.New("identity: profile_lookup shared needs Social")
	}
	server, err := matrix.ParseServerName(deps.ServerName)
	if err != nil {
		return nil, fmt.Errorf("identity: server name %q: %w", deps.ServerName, err)
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Rand == nil {
		deps.Rand = rand.Reader
	}
	s := &Service{
		cfg: cfg, deps: deps, server: server,
		hasher: password.New(cfg.Passwords.Params, cfg.Passwords.concurrency(), cfg.Passwords.Queue, deps.Rand),
		seen:   newSightings(),
	}
	s.metrics = newMetrics(deps.Metrics, s.hasher)
	logConfig := eventlog.Config{
		TailBytes: tailBytes, OnCommit: logrpc.Waker(deps.Bus, LogName), Metrics: deps.Metrics,
	}
	if s.store, s.log, err = openDatabase(ctx, deps.DB, logConfig); err != nil {
		return nil, err
	}
	limit := cfg.LoginFailures
	s.fromOne = newFailures(limit.Burst, limit.Interval, deps.Clock, s.store)
	s.fromAll = newFailures(limit.AccountBurst, limit.AccountInterval, deps.Clock, s.store)
	if s.handler, err = httpx.NewServer(LogName, s.bindings(), httpx.Options{}); err != nil {
		return nil, err
	}
	return s, nil
}

// Run works until ctx ends, and returns when everything that was accepted is written.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.log.Run(ctx) })
	group.Go(func() error { return s.every(ctx, s.cfg.SeenInterval, s.storeSeen) })
	group.Go(func() error { return s.every(ctx, expireInterval, s.expire) })
	return group.Wait()
}

// Handler serves Routes.
func (s *Service) Handler() http.Handler { return s.handler }

// Register registers what other services may call.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	identitypb.RegisterIdentityServer(reg, identityServer{s: s})
	logrpc.Register(reg, s.log)
}

// RegisterAdmin registers what only the operator of the machine may call.
func (s *Service) RegisterAdmin(reg grpc.ServiceRegistrar) {
	identitypb.RegisterAdminServer(reg, adminServer{s: s})
}

func (s *Service) nowMs() int64 { return s.deps.Clock().UnixMilli() }

// expiryMs is when something of this lifetime that begins now ends; 0 is never.
func (s *Service) expiryMs(lifetime time.Duration) int64 {
	if lifetime == 0 {
		return 0
	}
	return s.nowMs() + lifetime.Milliseconds()
}
