package store

import (
	"context"
	"fmt"
)

// RoomsOf lists the ids of the rooms in which the user has one of the memberships.
func (s *Store) RoomsOf(ctx context.Context, userID string, memberships []string) ([]string, error) {
	rows, err := s.db.Query(ctx, `
		SELECT r.room_id FROM membership m JOIN room r ON r.room = m.room
		WHERE m.user_id = $1
			AND m.membership = ANY($2)                            -- postgres
			AND m.membership IN (SELECT value FROM json_each($2)) -- sqlite
		ORDER BY m.room`, userID, memberships)
	if err != nil {
		return nil, fmt.Errorf("read rooms of %s: %w", userID, err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read rooms of %s: %w", userID, err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// Forget writes that the user, who has left the room, wants to know nothing more of it: of anything up to their newest
// member event. A later one, such as an invite, makes the room one of theirs again, but brings back nothing before it.
// A membership that changed since is left alone.
func (s *Store) Forget(ctx context.Context, userID string, room int64) error {
	_, err := s.db.Exec(ctx, `
		UPDATE membership SET forgotten = seq
		WHERE user_id = $1 AND room = $2 AND membership IN ('leave', 'ban')`, userID, room)
	if err != nil {
		return fmt.Errorf("forget room %d: %w", room, err)
	}
	return nil
}

// JoinedToAny tells whether the user is joined to one of the rooms, by their ids. Rooms that do not exist do not count.
func (s *Store) JoinedToAny(ctx context.Context, userID string, roomIDs []string) (bool, error) {
	var joined bool
	err := s.db.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT 1 FROM room r JOIN membership m ON m.room = r.room AND m.user_id = $1
			WHERE m.membership = 'join'
				AND r.room_id = ANY($2)                            -- postgres
				AND r.room_id IN (SELECT value FROM json_each($2)) -- sqlite
		)`, userID, roomIDs).Scan(&joined)
	if err != nil {
		return false, fmt.Errorf("look whether %s is in one of %d rooms: %w", userID, len(roomIDs), err)
	}
	return joined, nil
}
