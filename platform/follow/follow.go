package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus"
	"hongyan/platform/eventlog"
	"hongyan/platform/eventlog/logrpc"
)

// Config is what is followed, by whom and how.
type Config struct {
	// Log names the log on the bus, in messages and in metrics; Source reads it.
	Log    string
	Source eventlog.Source
	// Bus brings wake-ups.
	Bus bus.Bus
	// Cursors keep how far Follower has come.
	Cursors  *eventlog.Cursors
	Follower string
	// Apply takes in a page. For one shard pages come in order and one at a time; after an error the same page comes again.
	Apply func(context.Context, *Page) error
	// FromHead has a follower that has no cursors begin at the log's head: what was before is of no use to it.
	FromHead bool
	// Gather is how long cursors may wait to be written together that Apply has not moved: those of pages of which nothing was kept, or
	// what may be done again. 0 writes each at once.
	Gather time.Duration
	// Restart makes ready for the log's beginning. It must forget the cursors, and does nothing else where it is nil.
	Restart func(context.Context) error
	// Timeout bounds what is done with the cursors: over a connection that was lost silently it would never end.
	Timeout time.Duration
	// Retry is the pause before following starts anew after an error that following itself does not repeat (1 s).
	Retry time.Duration
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
}

// Run follows until ctx ends.
func (c Config) Run(ctx context.Context) {
	if c.Retry == 0 {
		c.Retry = time.Second
	}
	for ctx.Err() == nil {
		err := c.once(ctx)
		if errors.Is(err, eventlog.ErrEpochChanged) {
			logx.WithContext(ctx).Infof("the log of %s was restored: following it from its beginning", c.Log)
			err = c.restart(ctx)
		}
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("follow %s: %v", c.Log, err)
		}
		select {
		case <-time.After(c.Retry):
		case <-ctx.Done():
		}
	}
}

func (c Config) restart(ctx context.Context) error {
	if c.Restart != nil {
		return c.Restart(ctx)
	}
	return c.inTime(ctx, func(ctx context.Context) error { return c.Cursors.Reset(ctx, c.Follower) })
}

// once follows from the stored cursors, until ctx ends, the log is another one or somebody else moves the cursors.
func (c Config) once(ctx context.Context) error {
	heads, err := c.Source.Heads(ctx)
	if err != nil {
		return err
	}
	var from eventlog.Heads
	err = c.inTime(ctx, func(ctx context.Context) (err error) {
		from, err = c.Cursors.Load(ctx, c.Follower, len(heads.Shard))
		return err
	})
	if err != nil {
		return err
	}
	if from.Epoch == 0 {
		from.Epoch = heads.Epoch
		if c.FromHead {
			from = heads
			if err := c.inTime(ctx, func(ctx context.Context) error { return c.Cursors.Begin(ctx, c.Follower, heads) }); err != nil {
				return err
			}
		}
	}
	ctx, overtaken := context.WithCancelCause(ctx)
	defer overtaken(nil)
	r := &run{Config: c, epoch: from.Epoch, done: append([]int64(nil), from.Shard...), overtaken: overtaken}
	r.gathered.stored, r.gathered.waiting = append([]int64(nil), from.Shard...), map[int]int64{}
	f := eventlog.NewFollower(c.Source, eventlog.FollowConfig{
		From: from, BusDown: func() bool { return !c.Bus.Connected() }, Name: c.Log, Metrics: c.Metrics,
	}, r.apply)
	sub, err := logrpc.Subscribe(c.Bus, c.Log, f.Wake)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	flushing, stop := context.WithCancel(ctx)
	var flushes sync.WaitGroup
	flushes.Go(func() { r.flushAll(flushing) })
	err = f.Run(ctx)
	stop()
	flushes.Wait()
	if err != nil {
		return err
	}
	if cause := context.Cause(ctx); errors.Is(cause, eventlog.ErrConflict) {
		return cause
	}
	return nil
}

func (c Config) inTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return do(ctx)
}

// run is one time of following from stored cursors.
type run struct {
	Config
	epoch uint64
	// done is how far each shard was taken in. A shard is one goroutine's at a time.
	done      []int64
	gathered  gathered
	overtaken context.CancelCauseFunc
}

// apply is the follower's eventlog.Apply.
func (r *run) apply(ctx context.Context, shard int, records []eventlog.Record, through int64) error {
	r.gathered.mu.RLock()
	defer r.gathered.mu.RUnlock()
	p := &Page{Epoch: r.epoch, Shard: shard, After: r.done[shard], Through: through, Records: records, of: r}
	err := r.Apply(ctx, p)
	if err == nil {
		err = r.moved(ctx, p)
	}
	switch {
	case errors.Is(err, errOvertaken):
		r.overtaken(err)
	case err == nil:
		r.done[shard] = through
	}
	return err
}

// moved moves the cursor over a page that was taken in, unless that was done with it.
func (r *run) moved(ctx context.Context, p *Page) error {
	switch {
	case p.advanced:
	case r.Gather > 0:
		r.gathered.wait(p.Shard, p.Through)
		return nil
	default:
		err := r.inTime(ctx, func(ctx context.Context) error {
			return r.Cursors.Set(ctx, r.Follower, r.epoch, p.Shard, p.Through)
		})
		if err != nil {
			return err
		}
	}
	r.gathered.wrote(p.Shard, p.Through)
	return nil
}

// errOvertaken says that the cursor is not where this run left it.
var errOvertaken = fmt.Errorf("another instance follows too: %w", eventlog.ErrConflict)
