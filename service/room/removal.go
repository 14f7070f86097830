package room

import (
	"context"
	"errors"
	"fmt"
	"time"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/store"
)

const (
	// purgeStep bounds one call of an administrator's, so that it is answered in time.
	purgeStep = time.Second
	// leavesAtOnce is how many users one call makes leave.
	leavesAtOnce = 50
	// leftFor is for how long clients that were away hear that they left a room which is gone.
	leftFor = 30 * 24 * time.Hour
	// removalsAtOnce is how many removals are read at a time that were broken off.
	removalsAtOnce = 10
)

// Purge removes a part of what an administrator wants removed.
func (m moderationServer) Purge(ctx context.Context, req *roompb.PurgeRequest) (*roompb.PurgeResponse, error) {
	if !isText(req.GetRoomId()) {
		return nil, matrix.NewError(matrix.CodeInvalidParam, "The room id is malformed.")
	}
	switch {
	case req.GetAll() && req.GetBeforeMs() != 0:
		return nil, matrix.NewError(matrix.CodeInvalidParam, "Either the whole room is removed or what is older than a time.")
	case req.GetAll():
		return m.s.purgeWhole(ctx, req.GetRoomId(), req.GetForce())
	case req.GetForce():
		return nil, matrix.NewError(matrix.CodeInvalidParam, "Nobody need leave a room that stays.")
	case req.GetBeforeMs() <= 0:
		return nil, matrix.NewError(matrix.CodeInvalidParam, "It is not said before which time.")
	case req.GetBeforeMs() > m.s.now():
		return nil, matrix.NewError(matrix.CodeInvalidParam, "The time is yet to come.")
	}
	return m.s.purgeBefore(ctx, req.GetRoomId(), req.GetBeforeMs())
}

// Compact makes a SQLite database as small as it can be.
func (m moderationServer) Compact(ctx context.Context, _ *roompb.CompactRequest) (*roompb.CompactResponse, error) {
	before, after, err := m.s.deps.DB.Compact(ctx)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	return &roompb.CompactResponse{Before: before, After: after}, nil
}

func errNoRoomToPurge(roomID string) error {
	return matrix.Errorf(matrix.CodeNotFound, "There is no room %s.", roomID)
}

func (s *Service) purgeBefore(ctx context.Context, roomID string, beforeMS int64) (*roompb.PurgeResponse, error) {
	room, ok, err := s.store.Expiring(ctx, roomID)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	if !ok {
		return nil, errNoRoomToPurge(roomID)
	}
	w := sweep{s: s, room: room, before: beforeMS, until: time.Now().Add(purgeStep)}
	if err := w.run(ctx); err != nil {
		return nil, matrix.Unavailable(err)
	}
	return &roompb.PurgeResponse{Events: w.events, Bytes: w.bytes, More: !w.ended}, nil
}

// purgeWhole removes a room that nobody is in any more.
func (s *Service) purgeWhole(ctx context.Context, roomID string, force bool) (*roompb.PurgeResponse, error) {
	removal, begun, err := s.store.Removal(ctx, roomID)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	if begun {
		return s.removeSome(ctx, removal)
	}
	room, ok, err := s.store.Expiring(ctx, roomID)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	if !ok {
		return nil, errNoRoomToPurge(roomID)
	}
	if left, err := s.empty(ctx, room, force); err != nil || left > 0 {
		return &roompb.PurgeResponse{Left: left, More: true}, err
	}
	removal = store.Removal{Room: room.Room, RoomID: roomID, Seq: room.Seq}
	switch err := s.store.BeginRemoval(ctx, s.log, removal, s.now()); {
	case errors.Is(err, store.ErrPresent): // somebody came meanwhile
		return s.purgeWhole(ctx, roomID, force)
	case err != nil:
		return nil, matrix.Unavailable(err)
	}
	s.rooms.drop(s.rooms.get(roomID))
	if removal, ok, err = s.store.Removal(ctx, roomID); err != nil || !ok {
		return &roompb.PurgeResponse{}, err
	}
	return s.removeSome(ctx, removal)
}

// empty makes users leave a room and returns how many; it refuses if it may not.
func (s *Service) empty(ctx context.Context, room store.Expiring, force bool) (left int64, err error) {
	users, err := s.store.Present(ctx, room.Room, leavesAtOnce)
	if err != nil {
		return 0, matrix.Unavailable(err)
	}
	if len(users) > 0 && !force {
		return 0, matrix.Errorf(matrix.CodeBadState, "%s is in the room, is invited or knocks, and there may be others: "+
			"they would have to leave first.", users[0])
	}
	for _, user := range users {
		if err := s.changeMember(ctx, room.RoomID, matrix.UserID(user), leaveForGood); err != nil {
			return left, err
		}
		left++
	}
	if len(users) == 0 {
		return 0, nil
	}
	still, err := s.store.Present(ctx, room.Room, leavesAtOnce)
	if err != nil {
		return left, matrix.Unavailable(err)
	}
	if len(still) > 0 && still[0] == users[0] {
		return left, matrix.Errorf(matrix.CodeBadState, "%s cannot leave the room.", still[0])
	}
	return left, nil
}

// removeSome goes on removing a room for a while.
func (s *Service) removeSome(ctx context.Context, r store.Removal) (*roompb.PurgeResponse, error) {
	resp := &roompb.PurgeResponse{More: true}
	room := store.Expiring{Room: r.Room, RoomID: r.RoomID, Shard: eventlog.ShardOf(r.RoomID, s.log.Shards())}
	// Who follows forgets the room before anything of it is missing.
	if err := s.inTime(ctx, func(ctx context.Context) error {
		return s.tell(ctx, room, removalKey, &roompb.Purged{Room: true})
	}); err != nil {
		return nil, matrix.Unavailable(err)
	}
	for until, goOn := time.Now().Add(purgeStep), true; goOn && resp.More && time.Now().Before(until); {
		began := time.Now()
		err := s.inTime(ctx, func(ctx context.Context) error {
			gone, ended, err := s.store.RemoveSome(ctx, s.log, r, removalKey, s.cfg.Retention.Batch)
			if err != nil {
				return err
			}
			resp.Events, resp.Bytes, resp.More = resp.Events+int64(len(gone)), resp.Bytes+s.forgetEvents(room.Shard, gone), !ended
			return s.shrink(ctx)
		})
		if err == nil && resp.More {
			goOn, err = s.restUntil(ctx, time.Since(began), until)
		}
		if err != nil {
			return nil, matrix.Unavailable(err)
		}
	}
	return resp, nil
}

// finishRemovals goes on with the removals of rooms that were broken off. A room that fails does not hold up others.
func (s *Service) finishRemovals(ctx context.Context) error {
	var failed []error
	for after := int64(0); ctx.Err() == nil; {
		var begun []store.Removal
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			begun, err = s.store.Removals(ctx, after, removalsAtOnce)
			return err
		})
		if err != nil || len(begun) == 0 {
			return errors.Join(append(failed, err)...)
		}
		for _, r := range begun {
			after = r.Room
			if err := s.finishRemoval(ctx, r); err != nil {
				failed = append(failed, fmt.Errorf("remove room %s: %w", r.RoomID, err))
			}
		}
	}
	return errors.Join(failed...)
}

func (s *Service) finishRemoval(ctx context.Context, r store.Removal) error {
	for {
		began := time.Now()
		resp, err := s.removeSome(ctx, r)
		if err != nil || !resp.More {
			return err
		}
		// The step has paused between its batches, but not after the last.
		if err := s.rest(ctx, min(time.Since(began), purgeStep/10)); err != nil {
			return err
		}
	}
}

// forgetLeft forgets who had left rooms that were removed long ago.
func (s *Service) forgetLeft(ctx context.Context) error {
	for {
		var n int64
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			n, err = s.store.RemoveLeft(ctx, s.now()-leftFor.Milliseconds(), keptAtOnce)
			return err
		})
		if err != nil || n < keptAtOnce {
			return err
		}
	}
}
