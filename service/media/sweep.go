package media

import (
	"context"
	"errors"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/lease"
)

const (
	// sweepEvery is how often it is looked for what nobody needs, sweepMost how much of it is removed at a time.
	sweepEvery = 10 * time.Second
	sweepMost  = 100
	// sweepAgain is when a blob is tried again that could not be removed.
	sweepAgain = 10 * time.Minute
)

// sweep removes ids and previews that have expired, media that nobody fetches, and blobs that nobody needs, while this instance holds the lease.
func (s *Service) sweep(ctx context.Context, _ *lease.Term) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("media: remove what nobody needs: %v", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweepOnce removes all that is due now. What fails does not keep the rest from being done.
func (s *Service) sweepOnce(ctx context.Context) error {
	var errs []error
	for _, part := range []func(context.Context) error{s.expire, s.trimPreviews, s.removeUnused, s.removeLoose} {
		if ctx.Err() == nil {
			errs = append(errs, part(ctx))
		}
	}
	return errors.Join(errs...)
}

// expire forgets ids that nobody used.
func (s *Service) expire(ctx context.Context) error {
	for more := true; more && ctx.Err() == nil; {
		err := inTime(ctx, func(ctx context.Context) error {
			// An upload that was begun in time may end later.
			n, err := s.store.Expire(ctx, s.deps.Clock().Add(-s.cfg.UploadTimeout).UnixMilli(), sweepMost)
			more = n == sweepMost
			return err
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// removeLoose removes blobs that nobody needs.
func (s *Service) removeLoose(ctx context.Context) error {
	for ctx.Err() == nil {
		var keys []string
		err := inTime(ctx, func(ctx context.Context) (err error) {
			keys, err = s.store.ClaimLoose(ctx, s.nowMS(), sweepMost)
			return err
		})
		if err != nil || len(keys) == 0 {
			return err
		}
		for _, key := range keys {
			if err := inTime(ctx, func(ctx context.Context) error { return s.removeBlob(ctx, key) }); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (s *Service) removeBlob(ctx context.Context, key string) error {
	if err := s.deps.Blobs.Delete(ctx, key); err != nil {
		logx.WithContext(ctx).Errorf("media: remove blob %s: %v", key, err)
		return s.store.Forget(ctx, key, s.deps.Clock().Add(sweepAgain).UnixMilli())
	}
	s.metrics.removed.Inc()
	return s.store.Forget(ctx, key, 0)
}
