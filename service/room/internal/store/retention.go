package store

import (
	"context"
	"errors"
	"fmt"
	"math"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// NeverDue is the time at which a room is checked of which nothing expires.
const NeverDue = math.MaxInt64

// Expiring is a room as the removal of its expired events sees it.
type Expiring struct {
	Room   int64
	RoomID string
	Shard  int
	// Seq is the sequence number of its newest event, which stays.
	Seq int64
	// CheckMS and Cleared are the columns of the room: see the migration.
	CheckMS, Cleared int64
	// Untold tells that followers have still to be told of something that was removed.
	Untold bool
	// Policy is the room's m.room.retention; nil where it has none.
	Policy []byte
}

const expiringSQL = `
SELECT r.room, r.room_id, s.shard, s.seq, r.check_ms, r.cleared, r.told < r.purges, v.json
FROM room r JOIN room_stream s ON s.stream = r.room
LEFT JOIN state_current c ON c.room = r.room AND c.type = 'm.room.retention' AND c.state_key = ''
LEFT JOIN event v ON v.event_id = c.event_id
`

// dueSQL, untoldSQL and unlimitedSQL are Due's, Untold's and Unlimited's.
const (
	dueSQL = expiringSQL + `WHERE r.check_ms <= $1 AND (r.check_ms, r.room) > ($2, $3)
ORDER BY r.check_ms, r.room LIMIT $4`
	untoldSQL    = expiringSQL + `WHERE r.told < r.purges AND r.room > $1 ORDER BY r.room LIMIT $2`
	unlimitedSQL = `
UPDATE room SET check_ms = $1, kept = 0
FROM (SELECT CAST(p->>0 AS BIGINT) AS room, CAST(p->>1 AS BIGINT) AS check_ms FROM json_array_elements($2::json) p) w             -- postgres
FROM (SELECT json_extract(value, '$[0]') AS room, json_extract(value, '$[1]') AS check_ms FROM json_each($2)) w -- sqlite
WHERE room.room = w.room AND room.check_ms = w.check_ms`
)

func scanExpiring(rows sqldb.Rows, e *Expiring) error {
	return rows.Scan(&e.Room, &e.RoomID, &e.Shard, &e.Seq, &e.CheckMS, &e.Cleared, &e.Untold, &e.Policy)
}

// Expiring reads a room; ok is false where there is none.
func (s *Store) Expiring(ctx context.Context, roomID string) (e Expiring, ok bool, err error) {
	rows, err := s.db.Query(ctx, expiringSQL+`WHERE r.room_id = $1`, roomID)
	found, err := collect(rows, err, "read room "+roomID, scanExpiring)
	if err != nil || len(found) == 0 {
		return Expiring{}, false, err
	}
	return found[0], true, nil
}

// Due reads rooms that are to be checked, behind another one, those that wait the longest first.
func (s *Store) Due(ctx context.Context, nowMS int64, behind Expiring, limit int) ([]Expiring, error) {
	rows, err := s.db.Query(ctx, dueSQL, nowMS, behind.CheckMS, behind.Room, limit)
	return collect(rows, err, "read rooms that are due", scanExpiring)
}

// Passed reads, of so many rooms after a room whose newest event had expired, those that have a newer one by now, and tells after
// which room to go on; 0 where these were all.
func (s *Store) Passed(ctx context.Context, after int64, limit int) (passed []Expiring, next int64, err error) {
	var n int
	err = s.db.QueryRow(ctx, `SELECT count(*), COALESCE(max(room), 0) FROM (
		SELECT room FROM room WHERE kept > 0 AND room > $1 ORDER BY room LIMIT $2) k`, after, limit).Scan(&n, &next)
	if err != nil || n == 0 {
		return nil, 0, err
	}
	rows, err := s.db.Query(ctx, expiringSQL+`WHERE r.kept > 0 AND r.room > $1 AND r.room <= $2 AND s.seq > r.kept`, after, next)
	passed, err = collect(rows, err, "read rooms that went on", scanExpiring)
	if n < limit {
		next = 0
	}
	return passed, next, err
}

// CheckRetention makes a room due because the event at seq changed its policy.
func CheckRetention(room, seq int64) eventlog.Statement {
	return eventlog.Statement{SQL: `UPDATE room SET check_ms = $1 WHERE room = $2`, Args: []any{-seq, room}}
}

// Checked is what was found when a room was checked.
type Checked struct {
	Expiring
	// NextMS is when the room is to be checked next; Kept is its newest event if that has expired.
	NextMS, Kept int64
}

// Checked notes when a room is to be checked next, unless its policy has changed meanwhile.
func (s *Store) Checked(ctx context.Context, c Checked) error {
	_, err := s.db.Exec(ctx, `UPDATE room SET check_ms = CASE WHEN check_ms = $2 THEN $3 ELSE check_ms END, kept = $4
		WHERE room = $1`, c.Room, c.CheckMS, c.NextMS, c.Kept)
	if err != nil {
		return fmt.Errorf("note that room %d was checked: %w", c.Room, err)
	}
	return nil
}

// Unlimited notes of rooms, as they were read, that nothing of them expires; those whose policy has changed meanwhile stay due.
func (s *Store) Unlimited(ctx context.Context, rooms []Expiring) error {
	pairs := make([][2]int64, len(rooms))
	for i := range rooms {
		pairs[i] = [2]int64{rooms[i].Room, rooms[i].CheckMS}
	}
	arg, err := jsonText(pairs)
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, unlimitedSQL, int64(NeverDue), arg)
	if err != nil {
		return fmt.Errorf("note that %d rooms keep everything: %w", len(rooms), err)
	}
	return nil
}

// Cleared notes up to where no event of a room is left but state events: that need not be looked through again.
func (s *Store) Cleared(ctx context.Context, room, seq int64) error {
	if _, err := s.db.Exec(ctx, `UPDATE room SET cleared = $2 WHERE room = $1 AND cleared < $2`, room, seq); err != nil {
		return fmt.Errorf("note how far room %d is cleared: %w", room, err)
	}
	return nil
}

// Untold reads rooms after one of which followers have still to be told that something was removed.
func (s *Store) Untold(ctx context.Context, after int64, limit int) ([]Expiring, error) {
	rows, err := s.db.Query(ctx, untoldSQL, after, limit)
	return collect(rows, err, "read rooms whose followers are to be told", scanExpiring)
}

// Purged is what was ever removed from a room: nothing but events through Seq that are from before BeforeMS, in so many removals.
type Purged struct{ Seq, BeforeMS, Removals int64 }

// Purged reads what was ever removed from a room; ok is false where followers know of it all, or there is no room.
func (s *Store) Purged(ctx context.Context, room int64) (p Purged, ok bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT purged, purged_ms, purges FROM room WHERE room = $1 AND told < purges`, room).
		Scan(&p.Seq, &p.BeforeMS, &p.Removals)
	switch {
	case errors.Is(err, sqldb.ErrNoRows):
		return Purged{}, false, nil
	case err != nil:
		return Purged{}, false, fmt.Errorf("read what was removed from room %d: %w", room, err)
	}
	return p, true, nil
}

// Tell notes, with the entry that tells them, that followers were told of what was removed. It refuses where they were already, or the
// room is gone.
func Tell(room int64, p Purged) eventlog.Statement {
	return eventlog.Statement{SQL: `UPDATE room SET told = $2 WHERE room = $1 AND told < $2`, Args: []any{room, p.Removals}, Want: 1}
}

// RetentionSettings reads the settings by which rooms were checked last.
func (s *Store) RetentionSettings(ctx context.Context) (settings string, err error) {
	err = s.db.QueryRow(ctx, `SELECT settings FROM retention WHERE one = 1`).Scan(&settings)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return "", fmt.Errorf("read the settings of retention: %w", err)
	}
	return settings, nil
}

// SetRetentionSettings notes by which settings rooms are checked from now on.
func (s *Store) SetRetentionSettings(ctx context.Context, settings string) error {
	_, err := s.db.Exec(ctx, `INSERT INTO retention (one, settings) VALUES (1, $1)
		ON CONFLICT (one) DO UPDATE SET settings = excluded.settings`, settings)
	if err != nil {
		return fmt.Errorf("note the settings of retention: %w", err)
	}
	return nil
}

// CheckAnew makes rooms due, up to a limit after a room, and returns the last of them; 0 where these were all. What was noted
// follows from other settings.
func (s *Store) CheckAnew(ctx context.Context, after int64, limit int) (last int64, err error) {
	var n int
	err = s.db.QueryRow(ctx, `SELECT count(*), COALESCE(max(room), 0) FROM (
		SELECT room FROM room WHERE room > $1 ORDER BY room LIMIT $2) k`, after, limit).Scan(&n, &last)
	if err == nil && n > 0 {
		_, err = s.db.Exec(ctx, `UPDATE room SET check_ms = 0, kept = 0 WHERE room > $1 AND room <= $2 AND check_ms > 0`, after, last)
	}
	if err != nil {
		return 0, fmt.Errorf("make rooms due: %w", err)
	}
	if n < limit {
		return 0, nil
	}
	return last, nil
}
