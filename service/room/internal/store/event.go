package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// StoredEvent is an event with what this server keeps beside it.
type StoredEvent struct {
	EventID string
	JSON    []byte
	Room    int64
	Seq     int64
	// Redacted tells whether JSON is the pruned form.
	Redacted bool
	// Meta is the body of its entry: an EventMeta.
	Meta []byte
}

// Event reads an event of a room; ok is false where the room has no such event.
func (s *Store) Event(ctx context.Context, room int64, eventID string) (e StoredEvent, ok bool, err error) {
	e.EventID, e.Room = eventID, room
	var flags int64
	err = s.db.QueryRow(ctx, `
		SELECT e.json, e.seq, e.flags, n.body FROM event e JOIN room_entry n ON n.stream = e.room AND n.seq = e.seq
		WHERE e.event_id = $1 AND e.room = $2`, eventID, room).
		Scan(&e.JSON, &e.Seq, &flags, &e.Meta)
	if errors.Is(err, sqldb.ErrNoRows) {
		return StoredEvent{}, false, nil
	} else if err != nil {
		return StoredEvent{}, false, fmt.Errorf("read event %s: %w", eventID, err)
	}
	e.Redacted = flags&FlagRedacted != 0
	return e, true, nil
}

// NextState returns the state event that replaced the one of this type and key at seq, as far as ids, seq and
// meta go; ok is false where that one is the current one.
func (s *Store) NextState(ctx context.Context, room int64, typ, key string, seq int64) (e StoredEvent, ok bool, err error) {
	e.Room = room
	err = s.db.QueryRow(ctx, `
		SELECT d.event_id, d.seq, n.body
		FROM state_delta d JOIN room_entry n ON n.stream = d.room AND n.seq = d.seq
		WHERE d.room = $1 AND d.type = $2 AND d.state_key = $3 AND d.seq > $4 AND d.event_id IS NOT NULL
		ORDER BY d.seq LIMIT 1`, room, typ, key, seq).
		Scan(&e.EventID, &e.Seq, &e.Meta)
	if errors.Is(err, sqldb.ErrNoRows) {
		return StoredEvent{}, false, nil
	} else if err != nil {
		return StoredEvent{}, false, fmt.Errorf("read what replaced %s at %d: %w", typ, seq, err)
	}
	return e, true, nil
}
