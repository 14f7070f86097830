package room

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"

	"hongyan/service/room/internal/store"
)

const (
	// firstLook is how many events are looked at to see whether any has expired.
	firstLook = 64
	// keptPages is how many free pages a SQLite file keeps for what comes next, pagesAtOnce how many are given back at once: the
	// writer does nothing else meanwhile.
	keptPages, pagesAtOnce = 256, 512
)

// sweep removes a room's expired events: all that are no state events, are not its newest and are older than a time. Times rise with
// the room's order but for what clocks differ by, so that it ends at a page of which nothing has expired.
type sweep struct {
	s    *Service
	room store.Expiring
	// before is the time before which events go.
	before int64
	// until ends it early; zero never does.
	until time.Time

	events, bytes int64
	// oldest is the time of the oldest event that is left, as far as it was looked; left tells that there is one.
	oldest int64
	left   bool
	// began tells that something may have been removed, by this one or another that did the same.
	began bool
	// ended tells that nothing is left to remove.
	ended bool
	// through is up to where it was looked; cleared is up to where only state events are left.
	through, cleared int64
}

// run removes, batch by batch, and tells followers, also of what was removed before an error or before ctx ended.
func (w *sweep) run(ctx context.Context) error {
	err := w.removeAll(ctx)
	if !w.began && !w.room.Untold {
		return err
	}
	return errors.Join(err, w.s.tellPurged(context.WithoutCancel(ctx), w.room))
}

func (w *sweep) removeAll(ctx context.Context) error {
	w.through, w.cleared, w.oldest = w.room.Cleared, w.room.Cleared, math.MaxInt64
	limit := min(firstLook, w.s.cfg.Retention.Batch)
	for {
		began := time.Now()
		expired, err := w.page(ctx, limit)
		if err != nil {
			return err
		}
		if w.ended || !w.until.IsZero() && time.Now().After(w.until) {
			break
		}
		limit = w.s.cfg.Retention.Batch
		if expired > 0 {
			if goOn, err := w.s.restUntil(ctx, time.Since(began), w.until); err != nil {
				return err
			} else if !goOn {
				break
			}
		}
	}
	if w.cleared > w.room.Cleared {
		return w.s.inTime(ctx, func(ctx context.Context) error { return w.s.store.Cleared(ctx, w.room.Room, w.cleared) })
	}
	return nil
}

// page looks at the next events and removes the expired ones among them.
func (w *sweep) page(ctx context.Context, limit int) (expired int, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.s.cfg.CommitTimeout)
	defer cancel()
	page, err := w.s.store.Oldest(ctx, w.room.Room, w.through, w.room.Seq, limit)
	if err != nil {
		return 0, err
	}
	gone := make([]store.Old, 0, len(page))
	for _, e := range page {
		fields := gjson.GetManyBytes(e.PDU, "state_key", "origin_server_ts", `content.m\.relates_to.event_id`)
		w.through = e.Seq
		switch isState, ts := fields[0].Exists(), fields[1].Int(); {
		case isState:
		case ts < w.before:
			e.Target, e.PDU = fields[2].Str, nil
			gone = append(gone, e)
		default:
			w.left, w.oldest = true, min(w.oldest, ts)
		}
		if !w.left {
			w.cleared = e.Seq
		}
	}
	w.ended = len(page) < limit || len(gone) == 0 && w.left
	if len(gone) == 0 {
		return 0, nil
	}
	if err := w.remove(ctx, gone); err != nil {
		return 0, err
	}
	return len(gone), nil
}

func (w *sweep) remove(ctx context.Context, expired []store.Old) error {
	w.began = true
	gone, err := w.s.store.Purge(ctx, w.s.log, store.Removed{
		Room: w.room.Room, Events: expired, Cleared: w.cleared, BeforeMS: w.before,
	})
	if err != nil {
		return err
	}
	w.events += int64(len(gone))
	w.bytes += w.s.forgetEvents(w.room.Shard, gone)
	return w.s.shrink(ctx)
}

// forgetEvents lets followers of this process read removed events from memory no more, and returns how many bytes they had.
func (s *Service) forgetEvents(shard int, gone []store.Old) (bytes int64) {
	positions := make([]int64, len(gone))
	for i := range gone {
		positions[i] = gone[i].Position
		bytes += gone[i].Size
	}
	s.metrics.purged.Add(float64(len(gone)))
	s.log.Forget(shard, positions)
	return bytes
}

// shrink gives some of the space back that removals have left.
func (s *Service) shrink(ctx context.Context) error {
	if _, err := s.deps.DB.Shrink(ctx, keptPages, pagesAtOnce); err != nil {
		return fmt.Errorf("give space back: %w", err)
	}
	return nil
}

// rest pauses after a batch for as long as it took, so that others have half of the database's time, and for no less than is set.
func (s *Service) rest(ctx context.Context, took time.Duration) error {
	select {
	case <-time.After(max(s.cfg.Retention.Pause, took)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// restUntil is rest, unless that would end after until, where that is set; then it tells not to go on.
func (s *Service) restUntil(ctx context.Context, took time.Duration, until time.Time) (goOn bool, err error) {
	if !until.IsZero() && time.Now().Add(max(s.cfg.Retention.Pause, took)).After(until) {
		return false, nil
	}
	return true, s.rest(ctx, took)
}
