package devices

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/matrix/synctoken"
	"hongyan/platform/eventlog"
)

// Deps is what a node asks others.
type Deps struct {
	// Peers calls found with each user in memory whom it may concern that the device list of one of those changed: users who
	// share an encrypted room now, or did.
	Peers func(ctx context.Context, changed []string, found func(userID, changed string, now bool)) error
	Clock func() time.Time
	Log   logx.Logger
}

// Config bounds what a node keeps in memory.
type Config struct {
	// Idle is how long a device stays in memory after its last request, Devices how many of a user do. Peers must know a user
	// for longer than that.
	Idle    time.Duration
	Devices int
}

// Node is what one instance knows of the logs of keys. It is one epoch's: of other logs another one is made.
type Node struct {
	cfg  Config
	deps Deps

	// keysEpoch and listEpoch are those of the logs.
	keysEpoch, listEpoch uint64
	shards               []shard
	// list is the position up to which the device-list log was applied.
	list atomic.Int64
	// listTarget is that of the batch that is being applied, or was last: users who come later were not looked for.
	listTarget atomic.Int64
	ended      chan struct{}

	// recent are the newest changes of device lists, at positions after recentFloor, oldest first.
	recentMu    sync.Mutex
	recent      []mark
	recentFloor int64

	appliedMu sync.Mutex
	appliedCh chan struct{}
	waiting   atomic.Int32
}

// shard holds the users of one shard of the log "keys".
type shard struct {
	mu    sync.Mutex
	users map[string]*User
	// applied is stored under mu.
	applied atomic.Int64
}

// New returns a node that knows the logs up to their heads.
func New(cfg Config, deps Deps, keys, list eventlog.Heads) (*Node, error) {
	if deps.Peers == nil || deps.Clock == nil || deps.Log == nil || cfg.Idle <= 0 || cfg.Devices < 1 {
		return nil, errors.New("devices: Peers, Clock, Log, Idle and Devices are needed")
	}
	if len(keys.Shard) == 0 || len(list.Shard) != 1 {
		return nil, fmt.Errorf("devices: the logs have %d and %d shards, not some and one", len(keys.Shard), len(list.Shard))
	}
	n := &Node{
		cfg: cfg, deps: deps, keysEpoch: keys.Epoch, listEpoch: list.Epoch, shards: make([]shard, len(keys.Shard)),
		ended: make(chan struct{}), appliedCh: make(chan struct{}),
	}
	for i, head := range keys.Shard {
		n.shards[i].users = map[string]*User{}
		n.shards[i].applied.Store(head)
	}
	n.list.Store(list.Shard[0])
	n.listTarget.Store(list.Shard[0])
	n.recentFloor = list.Shard[0]
	return n, nil
}

// Epoch is that of both logs together: another one if either is.
func (n *Node) Epoch() uint64 { return synctoken.KeysEpoch(n.keysEpoch, n.listEpoch) }

// End says that nothing will be applied any more: who waits gives up.
func (n *Node) End() { close(n.ended) }

// Applied are the positions up to which the user's shard and the device-list log were applied.
func (n *Node) Applied(u *User) (keys, list int64) {
	return n.shards[u.Shard].applied.Load(), n.list.Load()
}

// ErrEnded says that a node ended before it had applied what was waited for.
var ErrEnded = errors.New("what is known of the keys is of logs that are no more")

// AwaitApplied waits until the logs were applied up to positions.
func (n *Node) AwaitApplied(ctx context.Context, u *User, keys, list int64) error {
	n.waiting.Add(1)
	defer n.waiting.Add(-1)
	for {
		n.appliedMu.Lock()
		ch := n.appliedCh
		n.appliedMu.Unlock()
		if k, l := n.Applied(u); k >= keys && l >= list {
			return nil
		}
		select {
		case <-ch:
		case <-n.ended:
			return ErrEnded
		case <-ctx.Done():
			return fmt.Errorf("wait for the logs of keys to be applied: %w", ctx.Err())
		}
	}
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

// maxRecent is from how many newest changes of device lists on the older half of them is forgotten.
const maxRecent = 8192

// remember adds a change of a device list to the newest ones.
func (n *Node) remember(m mark) {
	n.recentMu.Lock()
	defer n.recentMu.Unlock()
	if len(n.recent) >= maxRecent {
		n.recentFloor = n.recent[maxRecent/2-1].position
		n.recent = append(n.recent[:0:0], n.recent[maxRecent/2:]...)
	}
	n.recent = append(n.recent, m)
}

// AllChangedLists appends all users whose device lists changed in (after, through], each as often as it did. It fails where
// memory does not reach back so far.
func (n *Node) AllChangedLists(dst []string, after, through int64) (users []string, ok bool) {
	n.recentMu.Lock()
	defer n.recentMu.Unlock()
	for i := len(n.recent) - 1; i >= 0 && n.recent[i].position > after; i-- {
		if n.recent[i].position <= through {
			dst = append(dst, n.recent[i].userID)
		}
	}
	return dst, after >= n.recentFloor
}

// Forget forgets which device lists changed: Peers has not known all users since.
func (n *Node) Forget() {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		for _, u := range s.users {
			u.mu.Lock()
			u.marks, u.floor = nil, n.listTarget.Load()
			u.mu.Unlock()
		}
		s.mu.Unlock()
	}
}

// Run lets devices leave memory that nobody needs any more, until ctx ends.
func (n *Node) Run(ctx context.Context) {
	tick := time.NewTicker(min(n.cfg.Idle/2+1, 10*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.Sweep()
		}
	}
}

// Sweep lets devices leave memory that have been idle for long.
func (n *Node) Sweep() {
	deadline := n.deps.Clock().Add(-n.cfg.Idle)
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		for id, u := range s.users {
			u.mu.Lock()
			u.sweep(deadline)
			if len(u.devices) == 0 {
				delete(s.users, id)
			}
			u.mu.Unlock()
		}
		s.mu.Unlock()
	}
}
