package social

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/eventlog"
)

// patience is how long a search waits for what was acknowledged before it.
const patience = time.Second

// Between two looks at the cursors there is a pause, which grows.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// freshAndHidden waits until the logs are followed as far as they are now, and asks meanwhile whom the searcher ignores. What cannot
// be had in time is done without.
func (s *Service) freshAndHidden(ctx context.Context, userID string) (hidden []string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var waiting sync.WaitGroup
	for _, log := range []followed{s.people, s.rooms} {
		waiting.Go(func() {
			if err := s.catchUp(ctx, log); err != nil {
				s.metrics.behind.WithLabelValues(log.name).Inc()
				logx.WithContext(ctx).Infof("search users without the newest of the log of %s: %v", log.name, err)
			}
		})
	}
	waiting.Go(func() { hidden = s.hidden(ctx, userID) })
	waiting.Wait()
	return hidden
}

// catchUp waits until the cursors have reached the heads that the log has now.
func (s *Service) catchUp(ctx context.Context, log followed) error {
	heads, err := log.source.Heads(ctx)
	if err != nil {
		return fmt.Errorf("read heads: %w", err)
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		at, err := s.lookAt(ctx, log, len(heads.Shard))
		if err != nil {
			return err
		}
		if reached(at, heads) {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("wait for the log: %w", ctx.Err())
		}
	}
}

// lookAt reads the cursors of a log. All who wait for them share a look: one that began a moment ago is at worst out of date, and they
// look again.
func (s *Service) lookAt(ctx context.Context, log followed, shards int) (eventlog.Heads, error) {
	look := s.looks.DoChan(log.name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // it is not its first asker's alone
		defer cancel()
		return s.cursors.Load(ctx, log.name, shards)
	})
	select {
	case seen := <-look:
		if seen.Err != nil {
			return eventlog.Heads{}, seen.Err
		}
		return seen.Val.(eventlog.Heads), nil
	case <-ctx.Done():
		return eventlog.Heads{}, ctx.Err()
	}
}

// reached tells whether cursors are at heads or further.
func reached(at, heads eventlog.Heads) bool {
	for shard, head := range heads.Shard {
		if head > 0 && (at.Epoch != heads.Epoch || at.Shard[shard] < head) {
			return false
		}
	}
	return true
}
