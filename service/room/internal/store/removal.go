package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Removal is a room that is being removed. All its entries stand at or before Seq.
type Removal struct {
	Room   int64
	RoomID string
	Seq    int64
}

// maxLeft is of how many users, the last to leave, it is kept that they had left a room which was removed.
const maxLeft = 10_000

// ErrPresent says that somebody is in the room, is invited or knocks.
var ErrPresent = errors.New("somebody is in the room")

// Present lists up to limit users who are in a room, are invited or knock.
func (s *Store) Present(ctx context.Context, room int64, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT user_id FROM membership
		WHERE room = $1 AND membership IN ('join', 'invite', 'knock') ORDER BY user_id LIMIT $2`, room, limit)
	return collect(rows, err, "read who is in a room", func(rows sqldb.Rows, id *string) error { return rows.Scan(id) })
}

// BeginRemoval makes a room that nobody is in one that there is not: from then on its id is unknown, it has no aliases and is not
// in the directory. An append that is under way comes before, and is counted, or is refused. What is left of the room goes with
// RemoveSome, and with RemoveLeft who had left it.
func (s *Store) BeginRemoval(ctx context.Context, log *eventlog.Log, r Removal, nowMS int64) error {
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		// First the room and then its stream, as appends that change both do.
		if _, err := tx.Exec(ctx, `DELETE FROM room WHERE room = $1`, r.Room); err != nil {
			return err
		}
		seq, err := log.Retire(ctx, tx, r.Room)
		if err != nil {
			return err
		}
		var present int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM membership
			WHERE room = $1 AND membership IN ('join', 'invite', 'knock') LIMIT 1) m`, r.Room).Scan(&present); err != nil {
			return err
		}
		if present > 0 {
			return ErrPresent
		}
		if _, err := tx.Exec(ctx, `INSERT INTO room_removal (room, room_id, seq) VALUES ($1, $2, $3)`, r.Room, r.RoomID, seq); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
INSERT INTO room_left (user_id, room, membership, seq, position, sender, removed_ms)
SELECT m.user_id, m.room, m.membership, m.seq, COALESCE(e.position, 0), m.sender, $2
FROM membership m LEFT JOIN room_entry e ON e.stream = m.room AND e.seq = m.seq
WHERE m.room = $1 ORDER BY m.seq DESC LIMIT $3`, r.Room, nowMS, maxLeft); err != nil {
			return err
		}
		for _, table := range [...]string{"room_alias", "room_listing", "room_profile", "room_extremity", "guest_check"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE room = $1`, r.Room); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("begin to remove room %s: %w", r.RoomID, err)
	}
	return nil
}

// RemoveLeft removes up to so many rows about who had left rooms that were removed before a time, and returns how many.
func (s *Store) RemoveLeft(ctx context.Context, beforeMS int64, most int) (int64, error) {
	n, err := s.db.Exec(ctx, `DELETE FROM room_left WHERE (user_id, room) IN (
		SELECT user_id, room FROM room_left WHERE removed_ms < $1 ORDER BY removed_ms LIMIT $2)`, beforeMS, most)
	if err != nil {
		return 0, fmt.Errorf("forget who had left removed rooms: %w", err)
	}
	return n, nil
}

// Removals reads rooms that are being removed, after one.
func (s *Store) Removals(ctx context.Context, after int64, limit int) ([]Removal, error) {
	rows, err := s.db.Query(ctx, `SELECT room, room_id, seq FROM room_removal WHERE room > $1 ORDER BY room LIMIT $2`, after, limit)
	return collect(rows, err, "read what is being removed", scanRemoval)
}

// Removal reads whether a room is being removed.
func (s *Store) Removal(ctx context.Context, roomID string) (r Removal, ok bool, err error) {
	rows, err := s.db.Query(ctx, `SELECT room, room_id, seq FROM room_removal WHERE room_id = $1`, roomID)
	found, err := collect(rows, err, "read what is being removed", scanRemoval)
	if err != nil || len(found) == 0 {
		return Removal{}, false, err
	}
	return found[0], true, nil
}

func scanRemoval(rows sqldb.Rows, r *Removal) error { return rows.Scan(&r.Room, &r.RoomID, &r.Seq) }

// remains is what of a room is not found by its events, each table with a key of its rows within a room.
var remains = [...]struct{ table, key string }{
	{"state_current", "type, state_key"},
	{"state_delta", "type, state_key, seq"},
	{"event_relation", "target, seq"},
	{"thread", "root"},
	{"membership", "user_id"},
}

// RemoveSome removes up to so many events of a room that is being removed, with what belongs to them, or, when there are none, rows
// of what is left, but for the latest-wins entry with the key kept. It returns the events that it has removed, and whether all is
// gone.
func (s *Store) RemoveSome(ctx context.Context, log *eventlog.Log, r Removal, kept string, most int) (gone []Old, ended bool, err error) {
	events, err := s.Oldest(ctx, r.Room, 0, r.Seq+1, most)
	if err != nil {
		return nil, false, err
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) (err error) {
		gone, ended = nil, false // the transaction may run again
		if len(events) > 0 {
			if gone, err = deleteEvents(ctx, tx, r.Room, events); err == nil {
				_, err = log.RemoveThrough(ctx, tx, r.Room, events[len(events)-1].Seq)
			}
			return err
		}
		ended, err = removeRemains(ctx, tx, log, r, kept, most)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("remove room %s: %w", r.RoomID, err)
	}
	return gone, ended, nil
}

func removeRemains(ctx context.Context, tx sqldb.Tx, log *eventlog.Log, r Removal, kept string, most int) (ended bool, err error) {
	for _, t := range remains {
		n, err := tx.Exec(ctx, fmt.Sprintf(`DELETE FROM %[1]s WHERE room = $1 AND (%[2]s) IN (
			SELECT %[2]s FROM %[1]s WHERE room = $1 LIMIT $2)`, t.table, t.key), r.Room, most)
		if err != nil || n > 0 {
			return false, err
		}
	}
	if n, err := log.RemoveLatest(ctx, tx, r.Room, kept, most); err != nil || n > 0 {
		return false, err
	}
	// Entries without an event, should there be any.
	if _, err := log.RemoveThrough(ctx, tx, r.Room, r.Seq); err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM room_removal WHERE room = $1`, r.Room)
	return true, err
}
