package userlog

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	syncpb "hongyan/api/sync"
	"hongyan/platform/eventlog"
)

// Place names a user's counts in a room.
type Place struct{ UserID, RoomID string }

// Checkpoint reads how far a user's unread events in a room were counted; nil where nothing is stored, or nothing that
// can be read.
func (s *Store) Checkpoint(ctx context.Context, at Place) (*syncpb.UnreadCheckpoint, error) {
	record, err := s.latest(ctx, at.UserID, roomPrefix(unreadKey, at.RoomID))
	if err != nil || record == nil {
		return nil, err
	}
	c := &syncpb.UnreadCheckpoint{}
	if err := proto.Unmarshal(record.Body, c); err != nil {
		return nil, nil //nolint:nilerr // it is counted anew
	}
	return c, nil
}

// PutCheckpoints stores several, as many as it can.
func (s *Store) PutCheckpoints(ctx context.Context, all map[Place]*syncpb.UnreadCheckpoint) error {
	appends := make([]eventlog.Append, 0, len(all))
	var failed error
	for at, c := range all {
		body, err := proto.Marshal(c)
		if err != nil {
			return fmt.Errorf("encode checkpoint: %w", err)
		}
		stream, err := s.log.Stream(ctx, at.UserID)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		appends = append(appends, eventlog.Append{Stream: stream, Expect: eventlog.AnySeq, Entries: []eventlog.Entry{{
			Kind: eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_UNREAD), Key: roomPrefix(unreadKey, at.RoomID), Body: body,
		}}})
	}
	_, errs := s.log.AppendAll(ctx, appends)
	return errors.Join(append(errs, failed)...)
}
