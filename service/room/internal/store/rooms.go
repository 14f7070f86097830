package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// LoadedRoom is a room as it is in the database at one sequence number.
type LoadedRoom struct {
	Room        int64
	RoomID      string
	Version     string
	Creator     string
	Seq         int64
	Depth       int64
	Extremities []string
	State       []StateRow
	Members     []MemberRow
}

// StateRow is the current event of a type and state key.
type StateRow struct {
	Type, Key, EventID string
	Seq                int64
	// JSON is the event where LoadRoom was asked to read it.
	JSON []byte
}

// MemberRow is a user's current membership.
type MemberRow struct {
	UserID, Membership, EventID, Sender string
	Seq                                 int64
}

// LoadRoom reads a room's current state on one snapshot, with the events of the types in kept whose state key is
// empty. ok is false where the room does not exist.
func (s *Store) LoadRoom(ctx context.Context, roomID string, kept []string) (r LoadedRoom, ok bool, err error) {
	err = s.db.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
		r, ok = LoadedRoom{RoomID: roomID}, false
		var ids string
		err := q.QueryRow(ctx, `
			SELECT r.room, r.version, r.creator, x.event_ids, x.depth, x.seq
			FROM room r JOIN room_extremity x ON x.room = r.room WHERE r.room_id = $1`, roomID).
			Scan(&r.Room, &r.Version, &r.Creator, &ids, &r.Depth, &r.Seq)
		if errors.Is(err, sqldb.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(ids), &r.Extremities); err != nil {
			return fmt.Errorf("decode extremities: %w", err)
		}
		if r.State, err = loadState(ctx, q, r.Room, kept); err != nil {
			return err
		}
		if r.Members, err = loadMembers(ctx, q, r.Room); err != nil {
			return err
		}
		ok = true
		return nil
	})
	if err != nil {
		return LoadedRoom{}, false, fmt.Errorf("load room %s: %w", roomID, err)
	}
	return r, ok, nil
}

// loadState reads everything but the members, by two ranges of the primary key around them.
func loadState(ctx context.Context, q sqldb.Querier, room int64, kept []string) ([]StateRow, error) {
	rows, err := q.Query(ctx, `
		SELECT c.type, c.state_key, c.seq, c.event_id, e.json
		FROM (SELECT type, state_key, seq, event_id FROM state_current WHERE room = $1 AND type < 'm.room.member'
		      UNION ALL
		      SELECT type, state_key, seq, event_id FROM state_current WHERE room = $1 AND type > 'm.room.member') c
		LEFT JOIN event e ON e.event_id = c.event_id AND c.state_key = ''
			AND c.type = ANY($2)                            -- postgres
			AND c.type IN (SELECT value FROM json_each($2)) -- sqlite
		WHERE c.event_id IS NOT NULL`, room, kept)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	defer rows.Close()
	var list []StateRow
	for rows.Next() {
		var r StateRow
		if err := rows.Scan(&r.Type, &r.Key, &r.Seq, &r.EventID, &r.JSON); err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func loadMembers(ctx context.Context, q sqldb.Querier, room int64) ([]MemberRow, error) {
	rows, err := q.Query(ctx,
		`SELECT user_id, membership, event_id, sender, seq FROM membership WHERE room = $1`, room)
	if err != nil {
		return nil, fmt.Errorf("read members: %w", err)
	}
	defer rows.Close()
	var list []MemberRow
	for rows.Next() {
		var r MemberRow
		if err := rows.Scan(&r.UserID, &r.Membership, &r.EventID, &r.Sender, &r.Seq); err != nil {
			return nil, fmt.Errorf("read members: %w", err)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Visibility returns whether the room is "public" or "private" in the directory; ok is false for an unknown room.
func (s *Store) Visibility(ctx context.Context, roomID string) (visibility string, ok bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT visibility FROM room WHERE room_id = $1`, roomID).Scan(&visibility)
	if errors.Is(err, sqldb.ErrNoRows) {
		return "", false, nil
	} else if err != nil {
		return "", false, fmt.Errorf("read visibility of %s: %w", roomID, err)
	}
	return visibility, true, nil
}

// SetVisibility writes it.
func (s *Store) SetVisibility(ctx context.Context, room int64, visibility string) error {
	if _, err := s.db.Exec(ctx, `UPDATE room SET visibility = $1 WHERE room = $2`, visibility, room); err != nil {
		return fmt.Errorf("set visibility of room %d: %w", room, err)
	}
	return nil
}
