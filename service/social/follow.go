package social

import (
	"context"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/eventlog"
	"hongyan/platform/follow"
	"hongyan/service/social/internal/store"
)

// The names of the logs that are followed: on the bus, of the cursors, and of the leases of who follows.
const (
	identityLog = "identity"
	roomLog     = "room"
)

// gather is how long the cursors of pages that change nothing wait to be written together. A search that wants the newest waits as long.
const gather = 100 * time.Millisecond

// followed is a log that is followed.
type followed struct {
	name   string
	source eventlog.Source
}

// keep is what is kept of a log.
type keep struct {
	// prepare works out what a page changes. It may ask others.
	prepare func(ctx context.Context, p *follow.Page) (change, error)
	// forgetShard removes what is of one shard, forget what is of all.
	forgetShard func(ctx context.Context, tx store.Tx, shard int) error
	forget      func(ctx context.Context, tx store.Tx) error
}

// change is what a page changes; nil for nothing.
type change func(ctx context.Context, tx store.Tx) error

// follow follows a log until ctx ends. That another instance does too for a moment does no harm: one of them moves the cursor, and
// the other one begins where that one is.
func (s *Service) follow(ctx context.Context, log followed, k keep) {
	follow.Config{
		Log: log.name, Source: log.source, Bus: s.deps.Bus, Cursors: s.cursors, Follower: log.name,
		Timeout: s.cfg.CommitTimeout, Metrics: s.deps.Metrics, Gather: gather,
		Apply: func(ctx context.Context, p *follow.Page) error {
			return s.inTime(ctx, func(ctx context.Context) error { return s.takeIn(ctx, k, p) })
		},
		Restart: func(ctx context.Context) error {
			logx.WithContext(ctx).Infof("social: forget what is known of the log of %s", log.name)
			// A shard at a time first: all at once may be more than there is time for.
			for shard := range eventlog.DefaultShards {
				err := s.inTime(ctx, func(ctx context.Context) error {
					return s.store.Write(ctx, func(ctx context.Context, tx store.Tx) error { return k.forgetShard(ctx, tx, shard) })
				})
				if err != nil {
					return err
				}
			}
			return s.inTime(ctx, func(ctx context.Context) error {
				return s.store.Write(ctx, func(ctx context.Context, tx store.Tx) error {
					if err := s.cursors.ResetIn(ctx, tx, log.name); err != nil { // first: who moves a cursor waits, and then fails
						return err
					}
					return k.forget(ctx, tx)
				})
			})
		},
	}.Run(ctx)
}

// takeIn takes in a page.
func (s *Service) takeIn(ctx context.Context, k keep, p *follow.Page) error {
	change, err := k.prepare(ctx, p)
	if err != nil || change == nil && p.After > 0 {
		return err // most of what is said in rooms changes nothing here
	}
	return s.store.Write(ctx, func(ctx context.Context, tx store.Tx) error {
		if err := p.Advance(ctx, tx); err != nil {
			return err
		}
		if p.After == 0 {
			// The cursor may have been taken away alone, by a restored backup.
			if err := k.forgetShard(ctx, tx, p.Shard); err != nil {
				return err
			}
		}
		if change == nil {
			return nil
		}
		return change(ctx, tx)
	})
}

// inTime does something that no request bounds: over a connection that was lost silently it would never end.
func (s *Service) inTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CommitTimeout)
	defer cancel()
	return do(ctx)
}
