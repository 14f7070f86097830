package store

import (
	"context"

	"hongyan/platform/sqldb"
)

// EncryptedRoom is an encrypted room that a user has to do with.
type EncryptedRoom struct {
	ID    int64
	Shard int
	// Seq and HeadPosition are the newest event's.
	Seq, HeadPosition int64
	// Membership is the user's, MemberSeq that of their member event.
	Membership string
	MemberSeq  int64
	// EncryptedSeq is that of the event with which the room became encrypted.
	EncryptedSeq int64
}

// EncryptedRooms reads the encrypted rooms that a user has ever had to do with, in one query.
func (r *Reader) EncryptedRooms(ctx context.Context, userID string) ([]EncryptedRoom, error) {
	rows, err := r.db.Query(ctx, `
SELECT m.room, s.shard, s.seq, COALESCE(h.position, 0), m.membership, m.seq,
       (SELECT min(d.seq) FROM state_delta d WHERE d.room = m.room AND d.type = 'm.room.encryption' AND d.state_key = '')
FROM membership m
JOIN state_current c ON c.room = m.room AND c.type = 'm.room.encryption' AND c.state_key = ''
JOIN room_stream s ON s.stream = m.room
LEFT JOIN room_entry h ON h.stream = m.room AND h.seq = s.seq
WHERE m.user_id = $1`, userID)
	return collect(rows, err, "read encrypted rooms of "+userID, func(rows sqldb.Rows, e *EncryptedRoom) error {
		return rows.Scan(&e.ID, &e.Shard, &e.Seq, &e.HeadPosition, &e.Membership, &e.MemberSeq, &e.EncryptedSeq)
	})
}

// EncryptedRoomOf is an encrypted room that a user has to do with.
type EncryptedRoomOf struct {
	UserID, RoomID string
	// Joined tells that the user is in the room now.
	Joined bool
}

// EncryptedRoomsOf reads the encrypted rooms that users have ever had to do with, user by user.
func (r *Reader) EncryptedRoomsOf(ctx context.Context, userIDs []string) ([]EncryptedRoomOf, error) {
	rows, err := r.db.Query(ctx, `
SELECT m.user_id, s.name, m.membership = 'join'
FROM membership m
JOIN state_current c ON c.room = m.room AND c.type = 'm.room.encryption' AND c.state_key = ''
JOIN room_stream s ON s.stream = m.room
WHERE m.user_id = ANY($1)                            -- postgres
WHERE m.user_id IN (SELECT value FROM json_each($1)) -- sqlite
ORDER BY m.user_id, m.room`, userIDs)
	return collect(rows, err, "read encrypted rooms of users", func(rows sqldb.Rows, e *EncryptedRoomOf) error {
		return rows.Scan(&e.UserID, &e.RoomID, &e.Joined)
	})
}

// SeqsAt returns, one for each room and position, the newest sequence number of the room at or before the position, 0 where
// there is none, as eventlog's SeqAt does. It costs as many look-ups as the sequence numbers have bits.
func (r *Reader) SeqsAt(ctx context.Context, at []RoomPosition) ([]int64, error) {
	if len(at) == 0 {
		return nil, nil
	}
	asked := make([][3]int64, len(at))
	for i, p := range at {
		asked[i] = [3]int64{int64(i), p.Room, p.Position}
	}
	arg, err := jsonText(asked)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Query(ctx, `
WITH RECURSIVE w AS (
    SELECT CAST(p->>0 AS BIGINT) AS i, CAST(p->>1 AS BIGINT) AS room, CAST(p->>2 AS BIGINT) AS position FROM json_array_elements($1::json) p -- postgres
    SELECT json_extract(value, '$[0]') AS i, json_extract(value, '$[1]') AS room, json_extract(value, '$[2]') AS position FROM json_each($1) -- sqlite
), b(i, room, position, lo, hi) AS (
    SELECT w.i, w.room, w.position, CAST(0 AS BIGINT), s.seq FROM w JOIN room_stream s ON s.stream = w.room
    UNION ALL
    SELECT b.i, b.room, b.position,
        CASE WHEN COALESCE((SELECT e.position FROM room_entry e
                WHERE e.stream = b.room AND e.seq > b.lo AND e.seq <= (b.lo + b.hi + 1) / 2 ORDER BY e.seq DESC LIMIT 1), 0) <= b.position
            THEN (b.lo + b.hi + 1) / 2 ELSE b.lo END,
        CASE WHEN COALESCE((SELECT e.position FROM room_entry e
                WHERE e.stream = b.room AND e.seq > b.lo AND e.seq <= (b.lo + b.hi + 1) / 2 ORDER BY e.seq DESC LIMIT 1), 0) <= b.position
            THEN b.hi ELSE (b.lo + b.hi + 1) / 2 - 1 END
    FROM b WHERE b.lo < b.hi
)
SELECT i, lo FROM b WHERE lo >= hi`, arg)
	type found struct{ i, seq int64 }
	all, err := collect(rows, err, "read sequence numbers at positions", func(rows sqldb.Rows, f *found) error {
		return rows.Scan(&f.i, &f.seq)
	})
	seqs := make([]int64, len(at))
	for _, f := range all {
		seqs[f.i] = f.seq
	}
	return seqs, err
}

// MemberAtSeq asks what a user was in a room as of a sequence number.
type MemberAtSeq struct {
	Room   int64
	UserID string
	Seq    int64
}

// MemberEventsAt reads the member events that were the newest, one for each question; nil where there was none.
func (r *Reader) MemberEventsAt(ctx context.Context, at []MemberAtSeq) ([][]byte, error) {
	if len(at) == 0 {
		return nil, nil
	}
	asked := make([][4]any, len(at))
	for i, q := range at {
		asked[i] = [4]any{i, q.Room, q.UserID, q.Seq}
	}
	arg, err := jsonText(asked)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Query(ctx, `
SELECT w.i, v.json
FROM (SELECT CAST(p->>0 AS BIGINT) AS i, CAST(p->>1 AS BIGINT) AS room, p->>2 AS user_id, CAST(p->>3 AS BIGINT) AS seq FROM json_array_elements($1::json) p) w -- postgres
FROM (SELECT json_extract(value, '$[0]') AS i, json_extract(value, '$[1]') AS room, json_extract(value, '$[2]') AS user_id, json_extract(value, '$[3]') AS seq FROM json_each($1)) w -- sqlite
JOIN event v ON v.event_id = (
    SELECT d.event_id FROM state_delta d
    WHERE d.room = w.room AND d.type = 'm.room.member' AND d.state_key = w.user_id AND d.seq <= w.seq
    ORDER BY d.seq DESC LIMIT 1)`, arg)
	type found struct {
		i   int64
		pdu []byte
	}
	all, err := collect(rows, err, "read earlier memberships", func(rows sqldb.Rows, f *found) error {
		return rows.Scan(&f.i, &f.pdu)
	})
	events := make([][]byte, len(at))
	for _, f := range all {
		events[f.i] = f.pdu
	}
	return events, err
}

// RoomSeq is a room and a sequence number in it.
type RoomSeq struct{ Room, Seq int64 }

// Membership is what a user is in a room, Seq that of their member event.
type Membership struct {
	Room       int64
	UserID     string
	Membership string
	Seq        int64
}

func scanMembership(rows sqldb.Rows, m *Membership) error {
	return rows.Scan(&m.Room, &m.UserID, &m.Membership, &m.Seq)
}

// roomSeqs unpacks pairs of rooms and sequence numbers.
const roomSeqs = `
(SELECT CAST(p->>0 AS BIGINT) AS room, CAST(p->>1 AS BIGINT) AS seq FROM json_array_elements($1::json) p) w              -- postgres
(SELECT json_extract(value, '$[0]') AS room, json_extract(value, '$[1]') AS seq FROM json_each($1)) w -- sqlite
`

// ChangedMembers reads the memberships in rooms that changed after a sequence number in each.
func (r *Reader) ChangedMembers(ctx context.Context, rooms []RoomSeq) ([]Membership, error) {
	return r.members(ctx, rooms, `
SELECT m.room, m.user_id, m.membership, m.seq FROM `+roomSeqs+`
JOIN membership m ON m.room = w.room AND m.membership IN ('join', 'invite', 'knock', 'leave', 'ban') AND m.seq > w.seq`)
}

// MembersSince reads who is joined to rooms, and the other memberships that changed after a sequence number in each.
func (r *Reader) MembersSince(ctx context.Context, rooms []RoomSeq) ([]Membership, error) {
	return r.members(ctx, rooms, `
SELECT m.room, m.user_id, m.membership, m.seq FROM `+roomSeqs+`
JOIN membership m ON m.room = w.room AND m.membership = 'join'
UNION ALL
SELECT m.room, m.user_id, m.membership, m.seq FROM `+roomSeqs+`
JOIN membership m ON m.room = w.room AND m.membership IN ('invite', 'knock', 'leave', 'ban') AND m.seq > w.seq`)
}

func (r *Reader) members(ctx context.Context, rooms []RoomSeq, sql string) ([]Membership, error) {
	if len(rooms) == 0 {
		return nil, nil
	}
	pairs := make([][2]int64, len(rooms))
	for i, w := range rooms {
		pairs[i] = [2]int64{w.Room, w.Seq}
	}
	arg, err := jsonText(pairs)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Query(ctx, sql, arg)
	return collect(rows, err, "read memberships", scanMembership)
}

// MembershipsOf reads what users are in rooms.
func (r *Reader) MembershipsOf(ctx context.Context, rooms []int64, userIDs []string) ([]Membership, error) {
	if len(rooms) == 0 || len(userIDs) == 0 {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
SELECT m.room, m.user_id, m.membership, m.seq FROM membership m
WHERE m.room = ANY($1) AND m.user_id = ANY($2)                                                            -- postgres
WHERE m.user_id IN (SELECT value FROM json_each($2)) AND m.room IN (SELECT value FROM json_each($1)) -- sqlite
`, rooms, userIDs)
	return collect(rows, err, "read memberships of users", scanMembership)
}
