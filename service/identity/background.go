package identity

import (
	"context"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/service/identity/internal/store"
)

// expireInterval is how often expired rows are removed. They mean nothing before that either.
const expireInterval = time.Minute

// lastWrite bounds what is written when the service stops.
const lastWrite = 5 * time.Second

// every does something again and again, and once more when ctx has ended. A failure is logged: the next time does
// what this one did not.
func (s *Service) every(ctx context.Context, interval time.Duration, do func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := within(ctx, max(interval, lastWrite), do); err != nil && ctx.Err() == nil {
				logx.WithContext(ctx).Errorf("identity: %v", err)
			}
		case <-ctx.Done():
			if err := within(context.WithoutCancel(ctx), lastWrite, do); err != nil {
				logx.WithContext(ctx).Errorf("identity: %v", err)
			}
			return nil
		}
	}
}

// within does something that ends in time: a database that does not answer must not hold it up for ever.
func within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

func (s *Service) expire(ctx context.Context) error {
	return s.store.Expire(ctx, s.nowMs(), store.Keep{AuthSessions: s.cfg.Auth.Max, LoginFailures: maxFailures})
}
