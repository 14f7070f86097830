package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// GuestCheck is a room that was closed to guests, by the event at Seq.
type GuestCheck struct {
	Room, Seq int64
	RoomID    string
}

// CheckGuests notes that a room is closed to guests.
func CheckGuests(room, seq int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `INSERT INTO guest_check (room, seq) VALUES ($1, $2)
			ON CONFLICT (room) DO UPDATE SET seq = excluded.seq`,
		Args: []any{room, seq}, Want: 1,
	}
}

// GuestChecks returns up to limit rooms that were closed to guests.
func (s *Store) GuestChecks(ctx context.Context, limit int) ([]GuestCheck, error) {
	rows, err := s.db.Query(ctx, `SELECT g.room, g.seq, r.room_id FROM guest_check g JOIN room r ON r.room = g.room
		ORDER BY g.room LIMIT $1`, limit)
	return collect(rows, err, "read rooms closed to guests", func(rows sqldb.Rows, c *GuestCheck) error {
		return rows.Scan(&c.Room, &c.Seq, &c.RoomID)
	})
}

// EndGuestCheck forgets a check, unless the room was opened and closed again.
func (s *Store) EndGuestCheck(ctx context.Context, c GuestCheck) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM guest_check WHERE room = $1 AND seq = $2`, c.Room, c.Seq); err != nil {
		return fmt.Errorf("end the check for guests of room %d: %w", c.Room, err)
	}
	return nil
}

// Joined is a user who is joined to a room by the event at Seq.
type Joined struct {
	UserID string
	Seq    int64
}

// JoinedAfter lists up to limit users who are joined to a room by events after seq, in the order of these.
func (s *Store) JoinedAfter(ctx context.Context, room, seq int64, limit int) ([]Joined, error) {
	rows, err := s.db.Query(ctx, `SELECT user_id, seq FROM membership WHERE room = $1 AND membership = 'join' AND seq > $2
		ORDER BY seq LIMIT $3`, room, seq, limit)
	return collect(rows, err, "read who is joined", func(rows sqldb.Rows, j *Joined) error { return rows.Scan(&j.UserID, &j.Seq) })
}
