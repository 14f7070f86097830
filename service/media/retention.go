package media

import (
	"context"
	"errors"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/service/media/internal/store"
)

// touchEvery is how precisely it is known when media were last fetched.
const touchEvery = 24 * time.Hour

// touch notes that a media is fetched, once a day. It is noted whether or not media go for it: an administrator may want that later.
func (s *Service) touch(ctx context.Context, m store.Media) {
	now := s.nowMS()
	if m.UserID == "" || now-m.UsedMS < touchEvery.Milliseconds() {
		return
	}
	err := inTime(ctx, func(ctx context.Context) error { return s.store.Touch(ctx, m.ID, now) })
	if err != nil && ctx.Err() == nil { // it is served all the same
		logx.WithContext(ctx).Errorf("media: %v", err)
	}
}

// removeUnused removes media of users that nobody has fetched for long, where the administrator wants that.
func (s *Service) removeUnused(ctx context.Context) error {
	if s.cfg.Retention == 0 {
		return nil
	}
	for more := true; more && ctx.Err() == nil; {
		err := inTime(ctx, func(ctx context.Context) error {
			n, err := s.store.MarkUnknown(ctx, sweepMost, s.nowMS())
			more = n == sweepMost
			return err
		})
		if err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		since := s.deps.Clock().Add(-s.cfg.Retention).UnixMilli()
		var ids []string
		err := inTime(ctx, func(ctx context.Context) (err error) {
			ids, err = s.store.Unused(ctx, since, sweepMost)
			return err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			err := inTime(ctx, func(ctx context.Context) error { return s.store.RemoveUnused(ctx, id, since, s.nowMS()) })
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	return ctx.Err()
}
