package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/sync/errgroup"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/service/sync/internal/devices"
)

// The names of the two logs of the service keys.
const (
	keysLogName       = "keys"
	deviceListLogName = "device_list"
)

// keysTimeout bounds each call of the service keys while somebody waits for /sync.
const keysTimeout = 2 * time.Second

// keysNode is what is known of the keys, with the followers that feed it.
type keysNode struct {
	*devices.Node
	keys, list *eventlog.Follower
}

// keysMemory holds the node that works; none while it is not known where the logs of keys are.
type keysMemory struct {
	mu   sync.Mutex
	node *keysNode
	// up is closed when there is a node.
	up chan struct{}
}

func (m *keysMemory) load() *keysNode {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.node
}

// store lets a node work, or none after there was one.
func (m *keysMemory) store(node *keysNode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.node = node; node != nil {
		close(m.up)
		return
	}
	m.up = make(chan struct{})
}

// await waits until there is a node; nil when the context ends first.
func (m *keysMemory) await(ctx context.Context) *keysNode {
	m.mu.Lock()
	node, up := m.node, m.up
	m.mu.Unlock()
	if node != nil {
		return node
	}
	select {
	case <-up:
		return m.load()
	case <-ctx.Done():
		return nil
	}
}

// keysNodeNow returns the node that works. Where there is none, as when this service and keys have just begun, it is waited for
// as long as for an answer of keys, unless one is owing already.
func (s *Service) keysNodeNow(ctx context.Context) *keysNode {
	if node := s.keysMemory.load(); node != nil || s.trouble.lasts.Load() {
		return node
	}
	waiting, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	node := s.keysMemory.await(waiting)
	if node == nil {
		s.trouble.begin(ctx, "find its logs", context.DeadlineExceeded)
	}
	return node
}

// keysHeads are those of both logs of the service keys.
type keysHeads struct{ keys, list eventlog.Heads }

// readKeysHeads reads where both logs are.
func (s *Service) readKeysHeads(ctx context.Context) (h keysHeads, err error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	if h.keys, err = s.keysLog.Heads(ctx); err == nil {
		h.list, err = s.listLog.Heads(ctx)
	}
	return h, err
}

// runKeys knows what there is in the logs of the service keys, until the context ends. Nothing of it ends the service: without
// keys, rooms are answered.
func (s *Service) runKeys(ctx context.Context) error {
	for ctx.Err() == nil {
		err := s.runKeysNode(ctx)
		if err == nil {
			continue
		}
		if errors.Is(err, eventlog.ErrEpochChanged) {
			logx.WithContext(ctx).Errorf("begin anew with the keys: %v", err)
			continue
		}
		logx.WithContext(ctx).Errorf("follow the keys, will try again: %v", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

// runKeysNode lets one node work until the context ends or a log is another one.
func (s *Service) runKeysNode(ctx context.Context) error {
	heads, ok := untilRead(ctx, "heads of the logs of keys", s.readKeysHeads)
	if !ok {
		return nil
	}
	node, err := devices.New(
		// Half the time that package live knows users for.
		devices.Config{Idle: s.cfg.Live.UserIdle/2 + 1, Devices: s.cfg.Live.UserSessions},
		devices.Deps{Peers: s.findPeers, Clock: s.deps.Clock, Log: logx.WithContext(context.WithoutCancel(ctx))}, heads.keys, heads.list)
	if err != nil {
		return err
	}
	config := func(name string, from eventlog.Heads) eventlog.FollowConfig {
		return eventlog.FollowConfig{
			Name: name, From: from, BusDown: func() bool { return !s.deps.Bus.Connected() }, Metrics: s.deps.Metrics,
		}
	}
	k := &keysNode{
		Node: node,
		keys: eventlog.NewFollower(s.keysLog, config("log of keys for sync", heads.keys), node.ApplyKeys),
		list: eventlog.NewFollower(s.listLog, config("log of device lists for sync", heads.list), node.ApplyList),
	}
	for name, f := range map[string]*eventlog.Follower{keysLogName: k.keys, deviceListLogName: k.list} {
		sub, err := logrpc.Subscribe(s.deps.Bus, name, f.Wake)
		if err != nil {
			return fmt.Errorf("sync: subscribe: %w", err)
		}
		defer sub.Unsubscribe()
	}
	s.keysMemory.store(k)
	defer func() {
		s.keysMemory.store(nil)
		node.End()
	}()
	s.node().WakeAll() // who waited without keys looks at them now
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { node.Run(ctx); return nil })
	group.Go(func() error { return k.keys.Run(ctx) })
	group.Go(func() error { return k.list.Run(ctx) })
	return group.Wait()
}

// findPeers calls found with each user in memory whom it may concern that one of those changed: who is joined to an encrypted
// room that they have to do with, or had. Who has left may come back before the client is told of either.
func (s *Service) findPeers(ctx context.Context, changed []string, found func(userID, changed string, now bool)) error {
	node := s.node()
	select {
	case <-node.Ready():
	default:
		return nil // nobody is in memory yet
	}
	resp, err := s.deps.Room.EncryptedRooms(ctx, &roompb.EncryptedRoomsRequest{UserIds: changed})
	if err != nil {
		return err
	}
	for _, of := range resp.GetUsers() {
		users := map[string]bool{}
		for _, room := range of.GetFormerRoomIds() {
			node.Joined(room, eventlog.ShardOf(room, node.Shards()), func(userID string) { users[userID] = false })
		}
		for _, room := range of.GetRoomIds() {
			node.Joined(room, eventlog.ShardOf(room, node.Shards()), func(userID string) { users[userID] = true })
		}
		for u, now := range users {
			found(u, of.GetUserId(), now)
		}
	}
	return nil
}

// trouble remembers that the service keys did not answer. While it lasts nobody who asks for /sync asks that service: see
// probeKeys, which ends it.
type trouble struct {
	lasts atomic.Bool
	// suspected asks probeKeys to look whether it has begun.
	suspected atomic.Bool

	mu sync.Mutex
	// over is closed when it ends; nil while there is none.
	over chan struct{}
}

// begin notes a call that failed, unless that is its caller's doing.
func (t *trouble) begin(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || errors.Is(err, devices.ErrEnded) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over == nil {
		t.over = make(chan struct{})
		t.lasts.Store(true)
		logx.WithContext(ctx).Errorf("/sync goes on without the keys: %s: %v", what, err)
	}
}

// suspect notes a call about one user that failed. One that took too long may be that user's doing: probeKeys says whether the service
// answers others.
func (t *trouble) suspect(ctx context.Context, what string, err error) {
	if !errors.Is(err, context.DeadlineExceeded) {
		t.begin(ctx, what, err)
		return
	}
	logx.WithContext(ctx).Infof("/sync goes on without the keys this once: %s: %v", what, err)
	t.suspected.Store(true)
}

// end ends it.
func (t *trouble) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != nil {
		close(t.over)
		t.over = nil
		t.lasts.Store(false)
	}
}

// ends returns what is closed when it ends; nil where there is none.
func (t *trouble) ends() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

// probeEvery is how often a service keys that did not answer is asked again.
const probeEvery = time.Second

// probeKeys begins the trouble where it is suspected and the service keys does not answer. It ends it when the service answers
// again, and lets all who wait look for what they missed.
func (s *Service) probeKeys(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		lasts := s.trouble.lasts.Load()
		if !lasts && !s.trouble.suspected.Swap(false) {
			continue
		}
		_, err := s.readKeysHeads(ctx)
		switch {
		case err != nil:
			s.trouble.begin(ctx, "read its heads", err)
			continue
		case !lasts:
			continue
		}
		s.trouble.end()
		s.node().WakeAll()
	}
}
