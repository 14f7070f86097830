package sync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	keyspb "hongyan/api/keys"
	logpb "hongyan/api/log"
	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix/filter"
	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/httpx"
	"hongyan/platform/lease"
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
	// Keys tells what waits for devices; KeysLog are its logs.
	Keys    keyspb.KeysClient
	KeysLog logpb.LogClient
	// Clock is time.Now where nil.
	Clock func() time.Time
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Service is the sync service. See the package comment.
type Service struct {
	cfg   Config
	deps  Deps
	drain drain
	// memory is the node that works; when a log turns out to be another one, a new node takes its place.
	memory atomic.Pointer[live.Node]

	log       *eventlog.Log
	cursors   *eventlog.Cursors
	leases    *lease.Leases
	users     *userlog.Store
	rooms     logrpc.Remote
	followers followers
	roomHeads *shared[eventlog.Heads]
	userHeads *shared[eventlog.Heads]

	keysLog, listLog logrpc.Remote
	keysHeads        *shared[keysHeads]
	keysMemory       keysMemory
	trouble          trouble

	filters     filterCache
	peeks       peeks
	checkpoints *checkpoints
	buffers     bufferPool
	scratch     sync.Pool
	turns       *turns
	// reads bounds the rooms that are read from further back at once.
	reads chan struct{}
}

// New checks what it is given and keeps it. Prepare and Run make it work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.DB == nil || deps.Bus == nil || deps.Room == nil || deps.RoomLog == nil || deps.Keys == nil || deps.KeysLog == nil {
		return nil, errors.New("sync: DB, Bus, Room, RoomLog, Keys and KeysLog are needed")
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	deps.Room = toOwner{deps.Room}
	s := &Service{
		cfg: cfg, deps: deps, rooms: logrpc.NewRemote(deps.RoomLog), reads: make(chan struct{}, cfg.RoomReads),
		keysLog: logrpc.NewNamed(deps.KeysLog, keysLogName), listLog: logrpc.NewNamed(deps.KeysLog, deviceListLogName),
		drain: newDrain(deps.Clock), turns: newTurns(cfg.LargeAnswers, unwrittenBytes),
	}
	s.filters.standard = filter.Default()
	s.roomHeads = newShared(s.rooms.Heads)
	s.userHeads = newShared(func(ctx context.Context) (eventlog.Heads, error) { return s.log.Heads(ctx) })
	s.keysMemory.up = make(chan struct{})
	s.keysHeads = newShared(s.readKeysHeads)
	node, err := s.newNode()
	if err != nil {
		return nil, err
	}
	s.memory.Store(node)
	s.registerState(deps.Metrics)
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
	d, err := openDatabase(ctx, s.deps.DB, eventlog.Config{
		OnCommit: logrpc.Waker(s.deps.Bus, userlog.Schema().Name), Metrics: s.deps.Metrics,
	})
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	s.log, s.cursors, s.leases = d.log, d.cursors, d.leases
	s.users = userlog.New(d.log, s.cfg.limits())
	s.checkpoints = newCheckpoints(s.users)
	return nil
}

// Migrate brings the schema of the service's database up to date, as Prepare does.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	_, err := openDatabase(ctx, db, eventlog.Config{})
	return err
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
	group.Go(func() error {
		s.checkpoints.run(ctx)
		return nil
	})
	group.Go(func() error { return s.runKeys(ctx) })
	group.Go(func() error {
		s.leases.Run(ctx, carryFollower, s.carry)
		return nil
	})
	group.Go(func() error { return s.probeKeys(ctx) })
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

// Drain answers the parked polls 200, with the token that they came with unless there are news, spread over nine tenths of
// the time until ctx ends, and waits until none is parked. Polls that come while it runs are answered within that time too;
// who comes when that is over does not wait.
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
	return s.deps.Room.UserRooms(ctx, &roompb.UserRoomsRequest{UserId: userID, WithForgotten: true, WithRemoved: true})
}

// Ready is closed when the service knows where the logs are and answers requests.
func (s *Service) Ready() <-chan struct{} { return s.node().Ready() }
