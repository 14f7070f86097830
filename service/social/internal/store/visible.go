package store

import (
	"context"
	"fmt"
)

// Visible tells whether a user is joined to a public room or shares one with another user.
func (s *Store) Visible(ctx context.Context, userID, otherID string) (visible bool, err error) {
	// The inner limits keep PostgreSQL from reading all members of a room.
	err = s.db.QueryRow(ctx, `SELECT (SELECT 1 FROM member WHERE user_id = $2 AND public LIMIT 1) IS NOT NULL OR (
		SELECT 1 FROM member a WHERE a.user_id = $2 AND (
			SELECT 1 FROM member b WHERE b.user_id = $1 AND b.room_id = a.room_id LIMIT 1) IS NOT NULL LIMIT 1) IS NOT NULL`,
		userID, otherID).Scan(&visible)
	if err != nil {
		return false, fmt.Errorf("find out whether %s may know of %s: %w", userID, otherID, err)
	}
	return visible, nil
}
