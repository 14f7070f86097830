package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// UserRoom is a room that a user has to do with.
type UserRoom struct {
	Room
	Membership string
	EventID    string
	// MemberSeq and MemberPosition are the member event's.
	MemberSeq, MemberPosition int64
	Sender                    string
	Forgotten                 bool
	// HeadPosition is the newest event's.
	HeadPosition int64
	// ReceiptPosition is the newest public receipt's; 0 where there is none.
	ReceiptPosition int64
	// Purged is the sequence number of the newest event that was ever purged; 0 for none.
	Purged int64
}

// userRoomsSQL takes the user, whether forgotten rooms are wanted (1), whether $4 limits the rooms (1), and these.
const userRoomsSQL = `
SELECT s.stream, s.name, s.shard, s.seq, r.version, m.membership, m.event_id, m.seq, COALESCE(e.position, 0),
       m.sender, m.forgotten, COALESCE(h.position, 0),
       COALESCE((SELECT max(l.position) FROM room_latest l WHERE l.stream = s.stream AND l.kind = 2), 0), r.purged
FROM membership m
JOIN room_stream s ON s.stream = m.room
JOIN room r ON r.room = m.room
LEFT JOIN room_entry e ON e.stream = m.room AND e.seq = m.seq
LEFT JOIN room_entry h ON h.stream = m.room AND h.seq = s.seq
WHERE m.user_id = $1 AND (m.forgotten < m.seq OR $2 = 1)
AND ($3 = 0 OR s.name = ANY($4))                            -- postgres
AND ($3 = 0 OR s.name IN (SELECT value FROM json_each($4))) -- sqlite
ORDER BY m.room`

// UserRooms reads the rooms of a user in one query; roomIDs, where given, limits the answer to these.
func (r *Reader) UserRooms(ctx context.Context, userID string, withForgotten bool, roomIDs []string) ([]UserRoom, error) {
	rows, err := r.db.Query(ctx, userRoomsSQL, userID, bit(withForgotten), bit(len(roomIDs) > 0), roomIDs)
	return collect(rows, err, "read rooms of "+userID, func(rows sqldb.Rows, u *UserRoom) error {
		var forgotten int64
		err := rows.Scan(&u.ID, &u.Name, &u.Shard, &u.Seq, &u.Version, &u.Membership, &u.EventID, &u.MemberSeq,
			&u.MemberPosition, &u.Sender, &forgotten, &u.HeadPosition, &u.ReceiptPosition, &u.Purged)
		u.Forgotten = forgotten >= u.MemberSeq
		return err
	})
}

// RemovedRooms reads the rooms of a user that were removed lately. Of these there is nothing but that they were left.
func (r *Reader) RemovedRooms(ctx context.Context, userID string) ([]UserRoom, error) {
	rows, err := r.db.Query(ctx, `
SELECT s.stream, s.name, s.shard, l.membership, l.seq, l.position, l.sender
FROM room_left l JOIN room_stream s ON s.stream = l.room WHERE l.user_id = $1 ORDER BY l.room`, userID)
	return collect(rows, err, "read removed rooms of "+userID, func(rows sqldb.Rows, u *UserRoom) error {
		return rows.Scan(&u.ID, &u.Name, &u.Shard, &u.Membership, &u.MemberSeq, &u.MemberPosition, &u.Sender)
	})
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// JoinedRooms reads the ids of the rooms that a user is joined to.
func (r *Reader) JoinedRooms(ctx context.Context, userID string) ([]string, error) {
	rows, err := r.db.Query(ctx, `
SELECT s.name FROM membership m JOIN room_stream s ON s.stream = m.room
WHERE m.user_id = $1 AND m.membership = 'join' ORDER BY m.room`, userID)
	return collect(rows, err, "read joined rooms of "+userID, func(rows sqldb.Rows, id *string) error {
		return rows.Scan(id)
	})
}

// RoomPosition is a room and a position of its shard.
type RoomPosition struct{ Room, Position int64 }

// MemberAt is a user's member event in a room.
type MemberAt struct {
	Room int64
	PDU  []byte
}

// MembersAt reads a user's member events in rooms as of positions. Rooms where they had none are missing.
func (r *Reader) MembersAt(ctx context.Context, userID string, rooms []RoomPosition) ([]MemberAt, error) {
	if len(rooms) == 0 {
		return nil, nil
	}
	pairs := make([][2]int64, len(rooms))
	for i, p := range rooms {
		pairs[i] = [2]int64{p.Room, p.Position}
	}
	arg, err := jsonText(pairs)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Query(ctx, `
SELECT w.room, v.json
FROM (SELECT CAST(p->>0 AS BIGINT) AS room, CAST(p->>1 AS BIGINT) AS position FROM json_array_elements($1::json) p) w            -- postgres
FROM (SELECT json_extract(value, '$[0]') AS room, json_extract(value, '$[1]') AS position FROM json_each($1)) w -- sqlite
JOIN event v ON v.event_id = (
    SELECT d.event_id FROM state_delta d JOIN room_entry e ON e.stream = d.room AND e.seq = d.seq
    WHERE d.room = w.room AND d.type = 'm.room.member' AND d.state_key = $2 AND e.position <= w.position
    ORDER BY d.seq DESC LIMIT 1)`, arg, userID)
	return collect(rows, err, "read earlier memberships of "+userID, func(rows sqldb.Rows, m *MemberAt) error {
		return rows.Scan(&m.Room, &m.PDU)
	})
}

const mutualSQL = `
FROM membership a JOIN membership b ON b.user_id = $2 AND b.room = a.room AND b.membership = 'join'
JOIN room_stream s ON s.stream = a.room
WHERE a.user_id = $1 AND a.membership = 'join'`

// MutualRooms reads the ids of rooms that two users are joined to, in their order behind one of them, and counts all of
// them, in one snapshot.
func (r *Reader) MutualRooms(ctx context.Context, userID, other, after string, limit int) (ids []string, count int64, err error) {
	err = r.db.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
		if err := q.QueryRow(ctx, `SELECT count(*)`+mutualSQL, userID, other).Scan(&count); err != nil {
			return fmt.Errorf("count mutual rooms: %w", err)
		}
		rows, err := q.Query(ctx, `SELECT s.name`+mutualSQL+` AND s.name > $3 ORDER BY s.name LIMIT $4`, userID, other, after, limit)
		ids, err = collect(rows, err, "read mutual rooms", func(rows sqldb.Rows, id *string) error { return rows.Scan(id) })
		return err
	})
	return ids, count, err
}
