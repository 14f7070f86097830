package follow

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// gathered are cursors of pages of which nothing was kept: they are written together, since each writing waits for the disk. Where
// they are lost, the pages come again and nothing is kept of them again.
type gathered struct {
	// mu is held for reading while a page is taken in, and for writing while cursors are.
	mu sync.RWMutex
	// of guards what follows among those who take pages in.
	of sync.Mutex
	// stored is where the cursors are in the database, waiting where those are to be that lag behind.
	stored  []int64
	waiting map[int]int64
}

// at is where the cursor of a shard is in the database.
func (g *gathered) at(shard int) int64 {
	g.of.Lock()
	defer g.of.Unlock()
	return g.stored[shard]
}

// wrote notes that the cursor of a shard was written.
func (g *gathered) wrote(shard int, position int64) {
	g.of.Lock()
	defer g.of.Unlock()
	g.stored[shard] = position
	delete(g.waiting, shard)
}

// wait notes that the cursor of a shard is to be written.
func (g *gathered) wait(shard int, position int64) {
	g.of.Lock()
	defer g.of.Unlock()
	g.waiting[shard] = position
}

// flush writes the cursors that wait.
func (r *run) flush(ctx context.Context) error {
	g := &r.gathered
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		return nil
	}
	err := r.inTime(ctx, func(ctx context.Context) error {
		return r.Cursors.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
			for shard, position := range g.waiting {
				if err := r.Cursors.AdvanceFrom(ctx, tx, r.Follower, r.epoch, shard, g.stored[shard], position); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if errors.Is(err, eventlog.ErrConflict) {
		err = errOvertaken
	}
	if err == nil {
		for shard, position := range maps.All(g.waiting) {
			g.stored[shard] = position
		}
		clear(g.waiting)
	}
	return err
}

// flushAll writes them from time to time until ctx ends, and then once more.
func (r *run) flushAll(ctx context.Context) {
	if r.Gather == 0 {
		return
	}
	ticker := time.NewTicker(r.Gather)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ticker.C:
			err = r.flush(ctx)
		case <-ctx.Done():
			if err := r.flush(context.WithoutCancel(ctx)); err != nil {
				logx.WithContext(ctx).Infof("follow %s: the newest cursors are not written: %v", r.Log, err)
			}
			return
		}
		switch {
		case errors.Is(err, errOvertaken):
			r.overtaken(err)
		case err != nil && ctx.Err() == nil:
			logx.WithContext(ctx).Errorf("follow %s: write cursors: %v", r.Log, err)
		}
	}
}
