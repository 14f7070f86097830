package sync

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"golang.org/x/sync/errgroup"

	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/service/sync/internal/live"
	"hongyan/service/sync/internal/userlog"
)

// roomLogName names the room log on the bus.
const roomLogName = "room"

// followers are the two that feed the node; nil until the logs' heads are known.
type followers struct {
	rooms, users atomic.Pointer[eventlog.Follower]
}

// runNodes lets one node after the other work, until the context ends or something else fails than that a log is not
// the one that it was.
func (s *Service) runNodes(ctx context.Context) error {
	for {
		node := s.node()
		err := s.runNode(ctx, node)
		if !errors.Is(err, eventlog.ErrEpochChanged) {
			return err
		}
		logx.WithContext(ctx).Errorf("begin anew, all clients get all of their rooms: %v", err)
		next, err := s.newNode()
		if err != nil {
			return err
		}
		s.memory.Store(next)
		if keys := s.keysMemory.load(); keys != nil {
			keys.Forget() // the next node has not known anybody
		}
		node.End()
	}
}

// runNode feeds a node from both logs until the context ends.
func (s *Service) runNode(ctx context.Context, node *live.Node) error {
	rooms, ok := untilRead(ctx, "heads of the room log", s.rooms.Heads)
	if !ok {
		return nil
	}
	users, ok := untilRead(ctx, "heads of the sync log", s.log.Heads)
	if !ok {
		return nil
	}
	config := func(name string, from eventlog.Heads) eventlog.FollowConfig {
		return eventlog.FollowConfig{
			Name: name, From: from, BusDown: func() bool { return !s.deps.Bus.Connected() }, Metrics: s.deps.Metrics,
		}
	}
	s.followers.rooms.Store(eventlog.NewFollower(s.rooms, config("room log for sync", rooms), node.ApplyRooms))
	s.followers.users.Store(eventlog.NewFollower(s.log, config("sync log", users), node.ApplyUsers))
	node.Start(rooms, users) // requests may come from here on
	stop, err := s.subscribe()
	if err != nil {
		return err
	}
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return node.Run(ctx) })
	group.Go(func() error { return s.runTyping(ctx, node) })
	group.Go(func() error { return s.followers.rooms.Load().Run(ctx) })
	group.Go(func() error { return s.followers.users.Load().Run(ctx) })
	if err := group.Wait(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// untilRead reads something that there must be, however often it takes. ok is false when the context ended.
func untilRead[T any](ctx context.Context, what string, read func(context.Context) (T, error)) (value T, ok bool) {
	wait := 50 * time.Millisecond
	for {
		value, err := read(ctx)
		if err == nil {
			return value, true
		}
		if ctx.Err() != nil {
			return value, false
		}
		logx.WithContext(ctx).Infof("read %s, will try again: %v", what, err)
		select {
		case <-time.After(wait):
			wait = min(2*wait, 2*time.Second)
		case <-ctx.Done():
			return value, false
		}
	}
}

// subscribe passes wake-ups of the bus on to the followers, which are there, and who types to the node.
func (s *Service) subscribe() (stop func(), err error) {
	var subs []bus.Subscription
	stop = func() {
		for _, sub := range subs {
			sub.Unsubscribe()
		}
	}
	for _, subscribe := range []func() (bus.Subscription, error){
		func() (bus.Subscription, error) {
			return logrpc.Subscribe(s.deps.Bus, roomLogName, s.followers.rooms.Load().Wake)
		},
		func() (bus.Subscription, error) {
			return logrpc.Subscribe(s.deps.Bus, userlog.Schema().Name, s.followers.users.Load().Wake)
		},
		func() (bus.Subscription, error) { return s.deps.Bus.Subscribe(typingSubject+".*", s.typingMessage) },
	} {
		sub, err := subscribe()
		if err != nil {
			stop()
			return nil, fmt.Errorf("sync: subscribe: %w", err)
		}
		subs = append(subs, sub)
	}
	return stop, nil
}

// wakeFollowers makes the followers read up to heads that were asked for.
func (s *Service) wakeFollowers(rooms, users eventlog.Heads) {
	for shard, head := range rooms.Shard {
		s.followers.rooms.Load().Wake(shard, head)
	}
	for shard, head := range users.Shard {
		s.followers.users.Load().Wake(shard, head)
	}
}
