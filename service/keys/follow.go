package keys

import (
	"context"
	"errors"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
	"hongyan/platform/lease"
)

// identityLog names identity's log on the bus.
const identityLog = "identity"

// identityFollower names this service's cursors in identity's log, and the lease of who follows it.
const identityFollower = "identity"

// retryFollow is the pause before following starts anew after an error that following itself does not repeat.
const retryFollow = time.Second

// follow follows identity's log until ctx ends with the term. One of the instances does so for all; that two do for a moment
// does no harm, since each step compares with what is there.
func (s *Service) follow(ctx context.Context, _ *lease.Term) {
	for ctx.Err() == nil {
		err := s.followIdentity(ctx)
		if errors.Is(err, eventlog.ErrEpochChanged) {
			logx.WithContext(ctx).Infof("identity's log was restored: following it from its beginning")
			err = s.inTime(ctx, func(ctx context.Context) error { return s.cursors.Reset(ctx, identityFollower) })
		}
		if err == nil {
			continue
		}
		logx.WithContext(ctx).Errorf("keys: follow identity: %v", err)
		select {
		case <-time.After(retryFollow):
		case <-ctx.Done():
		}
	}
}

// followIdentity follows from the stored cursors.
func (s *Service) followIdentity(ctx context.Context) error {
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
		if err := s.applyIdentity(ctx, records); err != nil {
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
