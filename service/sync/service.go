package sync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix/filter"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/httpx"
	"hongyan/platform/sqldb"
	"hongyan/service/sync/internal/live"
	"hongyan/service/sync/internal/userlog"
)

// Deps is what the service stands on.
type Deps struct {
	// DB holds the log "sync" and nothing else.
	DB *sqldb.DB
	// Bus wakes the followers of both logs and carries who types.
	Bus bus.Bus
	// Room answers what is further back than memory; RoomLog is its log.
	Room    roompb.RoomClient
	RoomLog logpb.LogClient
	// Clock is time.Now where nil.
	Clock func() time.Time
}

// Service is the sync service. See the package comment.
type Service struct {
	cfg   Config
	deps  Deps
	drain drain
	// memory is the node that works; when a log turns out to be another one, a new node takes its place.
	memory atomic.Pointer[live.Node]

	log       *eventlog.Log
	users     *userlog.Store
	rooms     logrpc.Remote
	followers followers
	roomHeads *shared[eventlog.Heads]
	userHeads *shared[eventlog.Heads]

	filters filterCache
	buffers bufferPool
	scratch sync.Pool
	turns   *turns
	// reads bounds the rooms that are read from further back at once.
	reads chan struct{}
}

// New checks what it is given and keeps it. Prepare and Run make it work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Bus == nil || deps.Room == nil || deps.RoomLog == nil {
		return nil, errors.New("sync: DB, Bus, Room and RoomLog are needed")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	s := &Service{
		cfg: cfg, deps: deps, rooms: logrpc.NewRemote(deps.RoomLog), reads: make(chan struct{}, cfg.RoomReads),
		drain: newDrain(deps.Clock), turns: newTurns(cfg.LargeAnswers, unwrittenBytes),
	}
	s.filters.standard = filter.Default()
	s.roomHeads = newShared(s.rooms.Heads)
	s.userHeads = newShared(func(ctx context.Context) (eventlog.Heads, error) { return s.log.Heads(ctx) })
	node, err := s.newNode()
	if err != nil {
		return nil, err
	}
	s.memory.Store(node)
	return s, nil
}

// newNode returns a node that knows nothing yet.
func (s *Service) newNode() (*live.Node, error) {
	node, err := live.New(s.cfg.Live, live.Deps{
		Rooms: s.userRooms, Clock: s.deps.Clock, Log: logx.WithContext(context.Background()),
		Entries: func(ctx context.Context, userID string) ([]eventlog.Record, error) {
			return s.users.Entries(ctx, userID)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("sync: %w", err)
	}
	return node, nil
}

// node is the node that works now. Who looks at it twice for one request may see another.
func (s *Service) node() *live.Node { return s.memory.Load() }

// Prepare brings the database up to date and opens the log. It is called once, before Run and before any request.
func (s *Service) Prepare(ctx context.Context) error {
	log, err := eventlog.Open(ctx, s.deps.DB, userlog.Schema(), eventlog.Config{
		OnCommit: logrpc.Waker(s.deps.Bus, userlog.Schema().Name),
	})
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	s.log, s.users = log, userlog.New(log, s.cfg.limits())
	return nil
}

// Run follows the logs and answers requests until its context ends or something fails for good, whichever part it is.
// Requests that are parked then are answered as Drain does; those that write are answered. When a log turns out to be
// another one than it was (eventlog.ErrEpochChanged) it begins anew: memory is dropped, and clients get all rooms.
func (s *Service) Run(ctx context.Context) error {
	if s.log == nil {
		return errors.New("sync: Run before Prepare")
	}
	// The log outlives the requests that append to it.
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	ctx, stopRest := context.WithCancel(ctx)
	defer stopRest()
	group, ctx := errgroup.WithContext(ctx)
	var logErr error
	written := make(chan struct{})
	go func() {
		defer close(written)
		logErr = s.log.Run(logCtx)
	}()
	group.Go(func() error { return s.runNodes(ctx) })
	select {
	case <-ctx.Done():
	case <-written: // it failed: what cannot write must not go on as if it could
	}
	s.drain.now()
	stopRest()
	err := group.Wait()
	stopLog()
	<-written
	return errors.Join(err, logErr)
}

// Drain answers the parked polls 200 with the token that they came with, spread over the time until ctx ends, and waits
// until all are. Polls that come later are answered at once.
func (s *Service) Drain(ctx context.Context) error { return s.drain.run(ctx) }

// Register offers the log and the account data to other services. It is called after Prepare.
func (s *Service) Register(reg grpc.ServiceRegistrar) {
	logrpc.Register(reg, offeredLog{s.log, s.userHeads})
	syncpb.RegisterSyncServer(reg, dataServer{s: s})
}

// Routes are the service's HTTP routes.
func Routes() []httpx.Route { return httpx.Routes((*Service)(nil).bindings()) }

// Handler serves Routes to authenticated callers.
func (s *Service) Handler() http.Handler {
	return httpx.MustServer("sync", s.bindings(), httpx.Options{})
}

// Stats is what the service holds in memory.
type Stats = live.Stats

// Stats counts what is in memory.
func (s *Service) Stats() Stats { return s.node().Stats() }

// userRooms lists the rooms of a user, forgotten ones included.
func (s *Service) userRooms(ctx context.Context, userID string) (*roompb.UserRoomsResponse, error) {
	return s.deps.Room.UserRooms(ctx, &roompb.UserRoomsRequest{UserId: userID, WithForgotten: true})
}

// Ready is closed when the service knows where the logs are and answers requests.
func (s *Service) Ready() <-chan struct{} { return s.node().Ready() }
