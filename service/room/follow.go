package room

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/lease"
)

// identityLog names identity's log on the bus.
const identityLog = "identity"

// identityFollower names this service's cursors in identity's log.
const identityFollower = "room"

// retryFollow is the pause before following starts anew after an error that following itself does not repeat.
const retryFollow = time.Second

// followAlone does what one of the instances does for all: it follows identity's log, makes those leave who are gone, and guests
// from where they may not be, until ctx ends with the term.
func (s *Service) followAlone(ctx context.Context, term *lease.Term) {
	var working sync.WaitGroup
	working.Go(func() { s.follow(ctx, term) })
	working.Go(func() { s.depart(ctx) })
	working.Go(func() { s.showOut(ctx) })
	working.Wait()
}

// follow follows identity's log until ctx ends.
func (s *Service) follow(ctx context.Context, term *lease.Term) {
	for ctx.Err() == nil {
		err := s.followIdentity(ctx, term)
		if errors.Is(err, eventlog.ErrEpochChanged) {
			// Each step compares with what is there, so that going through the whole log again does no harm.
			logx.WithContext(ctx).Infof("identity's log was restored: following it from its beginning")
			err = s.inTime(ctx, func(ctx context.Context) error { return s.cursors.Reset(ctx, identityFollower) })
		}
		if err == nil {
			continue
		}
		logx.WithContext(ctx).Errorf("follow identity: %v", err)
		select {
		case <-time.After(retryFollow):
		case <-ctx.Done():
		}
	}
}

// followIdentity follows from the stored cursors.
func (s *Service) followIdentity(ctx context.Context, term *lease.Term) error {
	source := logrpc.NewRemote(s.deps.IdentityLog)
	heads, err := source.Heads(ctx)
	if err != nil {
		return err
	}
	var from eventlog.Heads
	err = s.inTime(ctx, func(ctx context.Context) (err error) {
		from, err = s.cursors.Load(ctx, identityFollower, len(heads.Shard))
		return err
	})
	if err != nil {
		return err
	}
	if from.Epoch == 0 {
		from.Epoch = heads.Epoch
	}
	f := eventlog.NewFollower(source, eventlog.FollowConfig{
		From: from, BusDown: func() bool { return !s.deps.Bus.Connected() }, Name: identityLog,
		Metrics: s.deps.Metrics,
	}, func(ctx context.Context, shard int, records []eventlog.Record, through int64) error {
		if err := s.applyIdentity(ctx, term, records); err != nil {
			return err
		}
		return s.inTime(ctx, func(ctx context.Context) error {
			return s.cursors.Set(ctx, identityFollower, from.Epoch, shard, through)
		})
	})
	sub, err := logrpc.Subscribe(s.deps.Bus, identityLog, f.Wake)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	return f.Run(ctx)
}

// inTime does something with the database that no request bounds: over a connection that was lost silently it would
// never end.
func (s *Service) inTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	return do(ctx)
}
