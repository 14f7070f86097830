package room

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/lease"
	"hongyan/service/room/internal/store"
)

const (
	// retentionLease lets one instance at a time remove what has expired.
	retentionLease = "retention"
	// dueAtOnce is how many rooms are read at a time that are due, keptAtOnce how many that may be.
	dueAtOnce, keptAtOnce = 100, 1000
	// removalEvery is how often it is looked for removals of rooms that were broken off.
	removalEvery = time.Minute
)

// retain removes expired events from time to time and finishes removals of rooms, in one of the instances, until ctx ends with the
// term.
func (s *Service) retain(ctx context.Context, _ *lease.Term) {
	s.warnOfUnusedSpace(ctx)
	every := removalEvery
	if s.cfg.Retention.Enabled {
		every = min(every, s.cfg.Retention.Every)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var next time.Time
	for {
		err := errors.Join(s.finishRemovals(ctx), s.tellAll(ctx), s.forgetLeft(ctx))
		if now := time.Now(); s.cfg.Retention.Enabled && !now.Before(next) {
			next = now.Add(s.cfg.Retention.Every)
			err = errors.Join(err, s.expire(ctx))
		}
		if err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("remove what has expired: %v", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// expire removes the events of all rooms whose lifetime has passed. Only rooms are looked at in which something may have: what
// has no effect is not repeated before it can have one.
func (s *Service) expire(ctx context.Context) error {
	if err := s.applySettings(ctx); err != nil {
		return err
	}
	var failed []error
	now := s.now()
	// A room that fails stays due and does not hold up those behind it.
	for behind := (store.Expiring{CheckMS: math.MinInt64}); ; {
		var due []store.Expiring
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			due, err = s.store.Due(ctx, now, behind, dueAtOnce)
			return err
		})
		if err != nil {
			return err
		}
		began := time.Now()
		if due, err = s.sortOut(ctx, due, &behind); err != nil {
			return errors.Join(append(failed, err)...)
		}
		s.purgeAll(ctx, due, &failed)
		if behind.Room == 0 {
			break
		}
		if err := s.rest(ctx, time.Since(began)); err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
	for after := int64(0); ; {
		var passed []store.Expiring
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			passed, after, err = s.store.Passed(ctx, after, keptAtOnce)
			return err
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		began := time.Now()
		s.purgeAll(ctx, passed, &failed)
		if after == 0 {
			return errors.Join(failed...)
		}
		if err := s.rest(ctx, time.Since(began)); err != nil {
			return errors.Join(append(failed, err)...)
		}
	}
}

// sortOut notes of a page of due rooms which keep everything, at once, and returns the others. It moves behind on, to nothing after
// the last page.
func (s *Service) sortOut(ctx context.Context, due []store.Expiring, behind *store.Expiring) (expiring []store.Expiring, err error) {
	*behind = store.Expiring{}
	if len(due) == dueAtOnce {
		*behind = due[len(due)-1]
	}
	var unlimited []store.Expiring
	for _, room := range due {
		if s.cfg.Retention.lifetimeOf(&room) == 0 {
			unlimited = append(unlimited, room)
		} else {
			expiring = append(expiring, room)
		}
	}
	if len(unlimited) == 0 {
		return expiring, nil
	}
	return expiring, s.inTime(ctx, func(ctx context.Context) error { return s.store.Unlimited(ctx, unlimited) })
}

func (s *Service) purgeAll(ctx context.Context, rooms []store.Expiring, failed *[]error) {
	for _, room := range rooms {
		if ctx.Err() != nil {
			return
		}
		if err := s.purgeExpired(ctx, room); err != nil {
			*failed = append(*failed, fmt.Errorf("room %s: %w", room.RoomID, err))
		}
	}
}

// applySettings makes all rooms due where the settings are others than when they were checked.
func (s *Service) applySettings(ctx context.Context) error {
	settings := s.cfg.Retention.settings()
	var before string
	err := s.inTime(ctx, func(ctx context.Context) (err error) {
		before, err = s.store.RetentionSettings(ctx)
		return err
	})
	if err != nil || before == settings {
		return err
	}
	for after, more := int64(0), true; more; more = after > 0 {
		began := time.Now()
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			after, err = s.store.CheckAnew(ctx, after, keptAtOnce)
			return err
		})
		if err == nil && after > 0 {
			err = s.rest(ctx, time.Since(began))
		}
		if err != nil {
			return err
		}
	}
	return s.inTime(ctx, func(ctx context.Context) error { return s.store.SetRetentionSettings(ctx, settings) })
}

// purgeExpired removes what has expired in a room and notes when it is to be checked next.
func (s *Service) purgeExpired(ctx context.Context, room store.Expiring) error {
	lifetime := s.cfg.Retention.lifetimeOf(&room)
	checked := store.Checked{Expiring: room, NextMS: store.NeverDue}
	if lifetime == 0 { // of those that went on; who was due is sorted out before
		if err := s.tellPurged(ctx, room); err != nil {
			return err
		}
		return s.inTime(ctx, func(ctx context.Context) error { return s.store.Checked(ctx, checked) })
	}
	now := s.now()
	w := sweep{s: s, room: room, before: now - lifetime.Milliseconds() + 1}
	if err := w.run(ctx); err != nil {
		return err
	}
	return s.inTime(ctx, func(ctx context.Context) error {
		newest, err := s.store.Oldest(ctx, room.Room, room.Seq-1, room.Seq+1, 1)
		if err != nil {
			return err
		}
		for _, e := range newest {
			switch ts := gjson.GetBytes(e.PDU, "origin_server_ts").Int(); {
			case gjson.GetBytes(e.PDU, "state_key").Exists():
			case ts < w.before:
				checked.Kept = e.Seq
			default:
				w.left, w.oldest = true, min(w.oldest, ts)
			}
		}
		// What comes from now on lives until then at the least.
		checked.NextMS = now + lifetime.Milliseconds()
		if w.left {
			checked.NextMS = min(checked.NextMS, w.oldest+lifetime.Milliseconds())
		}
		return s.store.Checked(ctx, checked)
	})
}

// warnOfUnusedSpace says that the file does not become smaller, where it does not.
func (s *Service) warnOfUnusedSpace(ctx context.Context) {
	if shrinks, err := s.deps.DB.Shrinks(ctx); err == nil && !shrinks && s.cfg.Retention.Enabled {
		logx.WithContext(ctx).Infof("the database of room was made by an earlier version, so that its file does not become smaller " +
			"when messages are removed: run \"hongyan compact\" once")
	}
}
