package room

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/store"
)

const (
	// purgeKey and removalKey are the keys of the entries that tell followers; receipts have others. What is told late of a purge does
	// not replace that the room is gone.
	purgeKey, removalKey = "purged", "removed"
)

// tellPurged tells followers what was removed from a room, unless they know.
func (s *Service) tellPurged(ctx context.Context, room store.Expiring) error {
	return s.inTime(ctx, func(ctx context.Context) error {
		p, ok, err := s.store.Purged(ctx, room.Room)
		if err != nil || !ok {
			return err
		}
		err = s.tell(ctx, room, purgeKey, &roompb.Purged{BeforeMs: p.BeforeMS, BeforeSeq: p.Seq + 1}, store.Tell(room.Room, p))
		if errors.Is(err, eventlog.ErrConflict) { // another one told them, or the room is gone
			return nil
		}
		return err
	})
}

// tell appends the entry at which followers forget what was removed from a room. It takes a position and no sequence number.
func (s *Service) tell(ctx context.Context, room store.Expiring, key string, what *roompb.Purged, with ...eventlog.Statement) error {
	body, err := proto.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode what was purged: %w", err)
	}
	_, err = s.log.Append(ctx, eventlog.Append{
		Stream: eventlog.Stream{ID: room.Room, Name: room.RoomID, Shard: room.Shard}, Expect: eventlog.AnySeq,
		Entries:    []eventlog.Entry{{Kind: eventlog.Kind(roompb.EntryKind_ENTRY_KIND_PURGED), Key: key, Body: body}},
		Statements: with,
	})
	if err != nil {
		return fmt.Errorf("tell what was purged from room %s: %w", room.RoomID, err)
	}
	return nil
}

// tellAll tells followers what was removed by those that were broken off before they told. A room that fails does not hold up others.
func (s *Service) tellAll(ctx context.Context) error {
	var failed []error
	for after := int64(0); ctx.Err() == nil; {
		var rooms []store.Expiring
		err := s.inTime(ctx, func(ctx context.Context) (err error) {
			rooms, err = s.store.Untold(ctx, after, dueAtOnce)
			return err
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, room := range rooms {
			after = room.Room
			if err := s.tellPurged(ctx, room); err != nil {
				failed = append(failed, err)
			}
		}
		if len(rooms) < dueAtOnce {
			break
		}
	}
	return errors.Join(failed...)
}
