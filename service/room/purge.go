package room

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/store"
)

const (
	// firstLook is how many events are looked at to see whether any has expired.
	firstLook = 64
	// purgeKey is the key of the entry that tells followers; receipts have others.
	purgeKey = "purged"
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
	// ended tells that nothing is left to remove.
	ended bool
	// through is up to where it was looked; cleared is up to where only state events are left.
	through, cleared int64
}

// run removes, batch by batch, and tells followers. What was removed before an error stays removed, and they are told the next time.
func (w *sweep) run(ctx context.Context) error {
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
			if err := w.s.rest(ctx, time.Since(began)); err != nil {
				return err
			}
		}
	}
	if w.cleared > w.room.Cleared {
		err := w.s.inTime(ctx, func(ctx context.Context) error { return w.s.store.Cleared(ctx, w.room.Room, w.cleared) })
		if err != nil {
			return err
		}
	}
	return w.tell(ctx)
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

func (w *sweep) remove(ctx context.Context, gone []store.Old) error {
	err := w.s.store.Purge(ctx, w.s.log, store.Removed{
		Room: w.room.Room, Events: gone, Cleared: w.cleared, BeforeMS: w.before,
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

// tell tells followers what was removed, by now or by one that ended before it told.
func (w *sweep) tell(ctx context.Context) error {
	before := max(w.before, w.room.Telling)
	if w.events == 0 && w.room.Telling == 0 {
		return nil
	}
	return w.s.inTime(ctx, func(ctx context.Context) error {
		if err := w.s.tellPurged(ctx, w.room, &roompb.Purged{BeforeMs: before, BeforeSeq: w.room.Seq}); err != nil {
			return err
		}
		return w.s.store.Told(ctx, w.room.Room, before)
	})
}

// tellPurged appends the entry at which followers forget what was removed from a room. It takes a position and no sequence number.
func (s *Service) tellPurged(ctx context.Context, room store.Expiring, what *roompb.Purged) error {
	body, err := proto.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode what was purged: %w", err)
	}
	_, err = s.log.Append(ctx, eventlog.Append{
		Stream: eventlog.Stream{ID: room.Room, Name: room.RoomID, Shard: room.Shard}, Expect: eventlog.AnySeq,
		Entries: []eventlog.Entry{{Kind: eventlog.Kind(roompb.EntryKind_ENTRY_KIND_PURGED), Key: purgeKey, Body: body}},
	})
	if err != nil {
		return fmt.Errorf("tell what was purged from room %s: %w", room.RoomID, err)
	}
	return nil
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
