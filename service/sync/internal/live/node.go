package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
)

// Deps is what a node asks others.
type Deps struct {
	// Rooms lists the rooms of a user, forgotten ones included.
	Rooms func(ctx context.Context, userID string) (*roompb.UserRoomsResponse, error)
	// Entries lists a user's entries of the user log that are no filters.
	Entries func(ctx context.Context, userID string) ([]eventlog.Record, error)
	Clock   func() time.Time
	Log     logx.Logger
}

// Node is what one instance knows. It begins to work with Start.
type Node struct {
	cfg  Config
	deps Deps

	ready, ended chan struct{}
	// roomEpoch and userEpoch are those of the logs; with shards and userShards they are set before ready is closed.
	roomEpoch, userEpoch uint64
	shards               []shard
	userShards           []userShard
	clock                clock

	ringBytes atomic.Int64
	// noteBytes is what the notes of all rooms' pasts take.
	noteBytes atomic.Int64
	loads     chan struct{}
	// loadsWaiting is how many wait for a place in loads.
	loadsWaiting atomic.Int64

	usersMu sync.RWMutex
	users   map[string]*User

	// applied is closed and replaced whenever something was applied while somebody waits for it.
	appliedMu sync.Mutex
	appliedCh chan struct{}
	waiting   atomic.Int32
}

// shard is one shard of the room log.
type shard struct {
	mu    sync.RWMutex
	rooms map[string]*Room
	// applied is the position up to which the log was applied. It is stored last, under mu.
	applied atomic.Int64
	recent  recent
	// purges are the rooms of which something was removed lately.
	purges recent
	// typing are the rooms in which somebody types.
	typing map[*Room]struct{}
	// watches are by room; see Watch.
	watches map[string][]*Watch
	// scratch for apply
	touched []*Room
	woken   []*User
}

// userShard is one shard of the user log.
type userShard struct {
	mu      sync.Mutex
	applied atomic.Int64
}

// New returns a node that has applied nothing yet.
func New(cfg Config, deps Deps) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("live node: %w", err)
	}
	if deps.Rooms == nil || deps.Entries == nil || deps.Clock == nil || deps.Log == nil {
		return nil, errors.New("live node: Rooms, Entries, Clock and Log are needed")
	}
	return &Node{
		cfg: cfg, deps: deps, ready: make(chan struct{}), ended: make(chan struct{}), clock: clock{now: deps.Clock},
		loads: make(chan struct{}, cfg.Loads), users: map[string]*User{}, appliedCh: make(chan struct{}),
	}, nil
}

// Start says where the logs are now: what comes after is applied. It is called once.
func (n *Node) Start(rooms, users eventlog.Heads) {
	n.roomEpoch, n.userEpoch = rooms.Epoch, users.Epoch
	n.shards = make([]shard, len(rooms.Shard))
	for i, head := range rooms.Shard {
		n.shards[i].rooms, n.shards[i].typing = map[string]*Room{}, map[*Room]struct{}{}
		n.shards[i].applied.Store(head)
		n.shards[i].recent.reset(head)
		n.shards[i].purges.reset(head)
	}
	n.userShards = make([]userShard, len(users.Shard))
	for i, head := range users.Shard {
		n.userShards[i].applied.Store(head)
	}
	close(n.ready)
}

// Ready is closed by Start.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// ErrEnded says that a node ended before it could do what it was asked.
var ErrEnded = errors.New("what is in memory is of a log that is no more")

// End says that nothing will be applied any more, because the logs are other ones than they were: who waits for that
// gives up. It is called once.
func (n *Node) End() { close(n.ended) }

// Ended is closed by End.
func (n *Node) Ended() <-chan struct{} { return n.ended }

// Epochs are those of the room log and of the user log.
func (n *Node) Epochs() (rooms, users uint64) { return n.roomEpoch, n.userEpoch }

// Shards is the number of shards of the room log.
func (n *Node) Shards() int { return len(n.shards) }

// Run drops from memory what nobody needs any more, until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			n.Sweep()
		}
	}
}

// AwaitApplied waits until the node has applied the logs up to heads, which may name fewer shards.
func (n *Node) AwaitApplied(ctx context.Context, rooms []int64, userShard int, user int64) error {
	n.waiting.Add(1)
	defer n.waiting.Add(-1)
	for {
		n.appliedMu.Lock()
		ch := n.appliedCh
		n.appliedMu.Unlock()
		if n.hasApplied(rooms, userShard, user) {
			return nil
		}
		select {
		case <-ch:
		case <-n.ended:
			return ErrEnded
		case <-ctx.Done():
			return fmt.Errorf("wait for the log to be applied: %w", ctx.Err())
		}
	}
}

func (n *Node) hasApplied(rooms []int64, userShard int, user int64) bool {
	for i, p := range rooms {
		if i < len(n.shards) && n.shards[i].applied.Load() < p {
			return false
		}
	}
	return n.userShards[userShard].applied.Load() >= user
}

// announce tells AwaitApplied that something was applied.
func (n *Node) announce() {
	if n.waiting.Load() == 0 {
		return
	}
	n.appliedMu.Lock()
	defer n.appliedMu.Unlock()
	close(n.appliedCh)
	n.appliedCh = make(chan struct{})
}

// Stats is what a node holds.
type Stats struct {
	Users, Rooms int
	RingBytes    int64
	// NoteBytes is what the notes of all rooms' pasts take.
	NoteBytes int64
	// Loading are users who are being loaded, LoadsWaiting those who wait for that.
	Loading, LoadsWaiting int64
}

// Stats counts what is in memory.
func (n *Node) Stats() Stats {
	n.usersMu.RLock()
	stats := Stats{
		Users: len(n.users), RingBytes: n.ringBytes.Load(), NoteBytes: n.noteBytes.Load(),
		Loading: int64(len(n.loads)), LoadsWaiting: n.loadsWaiting.Load(),
	}
	n.usersMu.RUnlock()
	select {
	case <-n.ready:
	default:
		return stats
	}
	for i := range n.shards {
		n.shards[i].mu.RLock()
		stats.Rooms += len(n.shards[i].rooms)
		n.shards[i].mu.RUnlock()
	}
	return stats
}
