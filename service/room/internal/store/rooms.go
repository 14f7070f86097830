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
// empty. Where after is positive, State and Members are only what changed after that sequence number, and what is
// kept. ok is false where the room does not exist.
func (s *Store) LoadRoom(ctx context.Context, roomID string, after int64, kept []string) (r LoadedRoom, ok bool, err error) {
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
		stateSQL, memberSQL := allStateSQL, allMembersSQL
		if after > 0 {
			stateSQL, memberSQL = changedStateSQL, changedMembersSQL
		}
		if r.State, err = loadState(ctx, q, stateSQL, r.Room, kept, after); err != nil {
			return err
		}
		if r.Members, err = loadMembers(ctx, q, memberSQL, r.Room, after); err != nil {
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

// keptSQL joins the events that are kept.
const keptSQL = `
	LEFT JOIN event e ON e.event_id = c.event_id AND c.state_key = ''
		AND c.type = ANY($2)                            -- postgres
		AND c.type IN (SELECT value FROM json_each($2)) -- sqlite
	WHERE c.event_id IS NOT NULL`

// allStateSQL reads everything but the members, by two ranges of the primary key around them. $3 is 0.
const allStateSQL = `
	SELECT c.type, c.state_key, c.seq, c.event_id, e.json
	FROM (SELECT type, state_key, seq, event_id FROM state_current WHERE room = $1 AND type < 'm.room.member' AND seq > $3
	      UNION ALL
	      SELECT type, state_key, seq, event_id FROM state_current WHERE room = $1 AND type > 'm.room.member' AND seq > $3) c
	` + keptSQL

// changedStateSQL reads the current state of keys that changed, and what is kept: that may have been redacted.
const changedStateSQL = `
	SELECT c.type, c.state_key, c.seq, c.event_id, e.json
	FROM (SELECT s.type, s.state_key, s.seq, s.event_id
	      FROM (SELECT DISTINCT type, state_key FROM state_delta
	            WHERE room = $1 AND seq > $3 AND type <> 'm.room.member') d
	      JOIN state_current s ON s.room = $1 AND s.type = d.type AND s.state_key = d.state_key
	      UNION
	      SELECT type, state_key, seq, event_id FROM state_current WHERE room = $1 AND state_key = ''
		AND type = ANY($2)                            -- postgres
		AND type IN (SELECT value FROM json_each($2)) -- sqlite
	      ) c
	` + keptSQL

func loadState(ctx context.Context, q sqldb.Querier, sql string, room int64, kept []string, after int64) ([]StateRow, error) {
	rows, err := q.Query(ctx, sql, room, kept, after)
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

// allMembersSQL reads all members. $2 is 0.
const allMembersSQL = `
	SELECT user_id, membership, event_id, sender, seq FROM membership WHERE room = $1 AND seq > $2`

// changedMembersSQL reads the members whose event changed.
const changedMembersSQL = `
	SELECT m.user_id, m.membership, m.event_id, m.sender, m.seq
	FROM (SELECT DISTINCT state_key FROM state_delta WHERE room = $1 AND seq > $2 AND type = 'm.room.member') d
	JOIN membership m ON m.user_id = d.state_key AND m.room = $1`

func loadMembers(ctx context.Context, q sqldb.Querier, sql string, room, after int64) ([]MemberRow, error) {
	rows, err := q.Query(ctx, sql, room, after)
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
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE room SET visibility = $1 WHERE room = $2`, visibility, room); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE room_listing SET published = $1 WHERE room = $2`, bit(visibility == "public"), room)
		return err
	})
	if err != nil {
		return fmt.Errorf("set visibility of room %d: %w", room, err)
	}
	return nil
}
