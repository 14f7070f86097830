package room

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/api/identity"
	"hongyan/api/log"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
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
	// Signer signs events for the server whose users may use the service.
	Signer *event.Signer
	// Clock is time.Now where nil, Rand crypto/rand.
	Clock func() time.Time
	Rand  io.Reader
}

// Service owns the room logs. See the package comment.
type Service struct {
	cfg    Config
	deps   Deps
	server matrix.ServerName

	store *store.Store
	log   *eventlog.Log
	// cursors are how far identity's log has been followed.
	cursors *eventlog.Cursors
	rooms   *rooms
	reads   *reads

	// gate counts the operations under way, so that Run waits for them.
	gate gate
}

// New checks what it is given and keeps it. Prepare and Run make it work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("room: %w", err)
	}
	if deps.DB == nil || deps.Bus == nil || deps.Identity == nil || deps.IdentityLog == nil || deps.Signer == nil {
		return nil, errors.New("room: DB, Bus, Identity, IdentityLog and Signer are needed")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if deps.Rand == nil {
		deps.Rand = rand.Reader
	}
	return &Service{
		cfg: cfg, deps: deps, server: deps.Signer.Server(),
		store: store.New(deps.DB), rooms: newRooms(cfg.CacheBytes),
	}, nil
}

// Prepare brings the database up to date and opens the log. It is called once, before Run and before any request.
func (s *Service) Prepare(ctx context.Context) error {
	if err := store.Migrate(ctx, s.deps.DB); err != nil {
		return fmt.Errorf("room: %w", err)
	}
	log, err := eventlog.Open(ctx, s.deps.DB, store.Schema(s.cfg.Shards), eventlog.Config{OnCommit: s.wake})
	if err != nil {
		return fmt.Errorf("room: %w", err)
	}
	if s.cursors, err = eventlog.OpenCursors(ctx, s.deps.DB, store.LogName); err != nil {
		return fmt.Errorf("room: %w", err)
	}
	s.log, s.reads = log, newReads(log, s.deps.Clock)
	return nil
}

// wake tells the followers of the log that a shard has grown. A lost message costs them latency, never data.
func (s *Service) wake(shard int, head int64) {
	subject := "log." + store.LogName + "." + strconv.Itoa(shard)
	if err := s.deps.Bus.Publish(context.Background(), subject, strconv.AppendInt(nil, head, 10)); err != nil {
		logx.Debugf("wake followers of room shard %d: %v", shard, err)
	}
}

// Run writes rooms and follows identity's log until its context ends. It then refuses new operations, and returns when
// those that were accepted are answered and durable.
func (s *Service) Run(ctx context.Context) error {
	if s.log == nil {
		return errors.New("room: Run before Prepare")
	}
	// The log outlives the operations that append to it.
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	var appending, background sync.WaitGroup
	var err error
	appending.Go(func() { err = s.log.Run(logCtx) })
	background.Go(func() { s.follow(ctx) })
	background.Go(func() { s.reads.receipts.run(ctx) })
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
	return append(s.writeBindings(), s.readBindings()...)
}

// now is the present in milliseconds since 1970.
func (s *Service) now() int64 { return s.deps.Clock().UnixMilli() }
