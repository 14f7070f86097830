package store

import (
	"context"

	"hongyan/platform/sqldb"
)

// Member is a user in a room. UserID is empty in the row of a room that has no such members.
type Member struct {
	Room
	Position   int64
	UserID     string
	Membership string
}

// Members reads who is joined to or invited into the rooms, room by room, each in one snapshot with its newest event.
func (r *Reader) Members(ctx context.Context, roomIDs []string) ([]Member, error) {
	rows, err := r.db.Query(ctx, `
SELECT s.stream, s.name, s.shard, s.seq, r.version, COALESCE(e.position, 0), COALESCE(m.user_id, ''), COALESCE(m.membership, '')
FROM room_stream s JOIN room r ON r.room = s.stream
LEFT JOIN room_entry e ON e.stream = s.stream AND e.seq = s.seq
LEFT JOIN membership m ON m.room = s.stream AND m.membership IN ('join', 'invite')
WHERE s.name = ANY($1)                            -- postgres
WHERE s.name IN (SELECT value FROM json_each($1)) -- sqlite
ORDER BY s.stream, m.membership DESC, m.seq`, roomIDs)
	return collect(rows, err, "read members", func(rows sqldb.Rows, m *Member) error {
		return rows.Scan(&m.ID, &m.Name, &m.Shard, &m.Seq, &m.Version, &m.Position, &m.UserID, &m.Membership)
	})
}

// MemberEvent is the member event of a user.
type MemberEvent struct {
	UserID string
	PDU    []byte
}

// JoinedMembers reads the member events of those who are joined now.
func (r *Reader) JoinedMembers(ctx context.Context, room int64) ([]MemberEvent, error) {
	rows, err := r.db.Query(ctx, `
SELECT m.user_id, v.json FROM membership m JOIN event v ON v.event_id = m.event_id
WHERE m.room = $1 AND m.membership = 'join' ORDER BY m.seq`, room)
	return collect(rows, err, "read joined members", func(rows sqldb.Rows, m *MemberEvent) error {
		return rows.Scan(&m.UserID, &m.PDU)
	})
}
