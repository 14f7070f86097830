package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Reader reads rooms from the database, never from memory: what it answers is not older than the call.
//
// Events are found by their place in the room's order (room_entry's index of stream and seq), state by its keys, so
// that no read costs more for a longer history.
type Reader struct {
	db Database
}

// Database is what a Reader reads from: a *sqldb.DB, or one around it that watches the statements.
type Database interface {
	sqldb.Querier
	View(ctx context.Context, f func(context.Context, sqldb.Querier) error) error
}

// NewReader returns a reader of the room service's database.
func NewReader(db Database) *Reader { return &Reader{db: db} }

// Room is a room at one moment.
type Room struct {
	// ID is the number of its stream.
	ID    int64
	Name  string
	Shard int
	// Seq is the sequence number of its newest event.
	Seq     int64
	Version string
}

// View is a room at one moment as a user stands to it.
type View struct {
	Room
	// Membership is the user's, empty for none, and MemberSeq where their newest member event stands.
	Membership string
	MemberSeq  int64
	// ForgottenSeq is up to where the user has forgotten the room; 0 if they never did.
	ForgottenSeq int64
	// VisibilitySeq is where the newest m.room.history_visibility stands; 0 if there is none.
	VisibilitySeq int64
	// Purged is the sequence number of the newest event that was ever purged; 0 for none. All later ones are there.
	Purged int64
}

const viewSQL = `
SELECT s.stream, s.shard, s.seq, r.version,
       COALESCE(m.membership, ''), COALESCE(m.seq, 0), COALESCE(m.forgotten, 0), COALESCE(v.seq, 0), r.purged
FROM room_stream s
JOIN room r ON r.room = s.stream
LEFT JOIN membership m ON m.room = s.stream AND m.user_id = $2
LEFT JOIN state_current v ON v.room = s.stream AND v.type = 'm.room.history_visibility' AND v.state_key = ''
WHERE s.name = $1`

// View reads a room for a user in one snapshot; ok is false where there is no such room.
func (r *Reader) View(ctx context.Context, roomID, userID string) (view View, ok bool, err error) {
	view.Name = roomID
	err = r.db.QueryRow(ctx, viewSQL, roomID, userID).Scan(&view.ID, &view.Shard, &view.Seq, &view.Version,
		&view.Membership, &view.MemberSeq, &view.ForgottenSeq, &view.VisibilitySeq, &view.Purged)
	if errors.Is(err, sqldb.ErrNoRows) {
		return View{}, false, nil
	}
	if err != nil {
		return View{}, false, fmt.Errorf("read room %s: %w", roomID, err)
	}
	return view, true, nil
}

// Membership reads what a user is in a room; empty for nothing.
func (r *Reader) Membership(ctx context.Context, roomID, userID string) (string, error) {
	var membership string
	err := r.db.QueryRow(ctx, `
SELECT m.membership FROM room_stream s JOIN membership m ON m.room = s.stream
WHERE s.name = $1 AND m.user_id = $2`, roomID, userID).Scan(&membership)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return "", fmt.Errorf("read membership of %s in %s: %w", userID, roomID, err)
	}
	return membership, nil
}

// Change is a state event as a delta of its key.
type Change struct {
	Seq int64
	PDU []byte
}

// Changes reads the state events of one key in (after, through], oldest first.
func (r *Reader) Changes(ctx context.Context, room int64, eventType, stateKey string, after, through int64) ([]Change, error) {
	rows, err := r.db.Query(ctx, `
SELECT d.seq, v.json FROM state_delta d LEFT JOIN event v ON v.event_id = d.event_id
WHERE d.room = $1 AND d.type = $2 AND d.state_key = $3 AND d.seq > $4 AND d.seq <= $5
ORDER BY d.seq`, room, eventType, stateKey, after, through)
	return collect(rows, err, "read state changes", func(rows sqldb.Rows, c *Change) error {
		return rows.Scan(&c.Seq, &c.PDU)
	})
}

// collect reads all rows with scan.
func collect[T any](rows sqldb.Rows, err error, what string, scan func(sqldb.Rows, *T) error) ([]T, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// jsonText encodes an argument that statements unpack with the databases' JSON functions.
func jsonText(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode argument: %w", err)
	}
	return string(b), nil
}
