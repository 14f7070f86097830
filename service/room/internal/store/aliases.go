package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Alias is an alias of a room.
type Alias struct {
	Alias   string
	Room    int64
	RoomID  string
	Creator string
}

// Alias looks an alias up; ok is false where there is none.
func (s *Store) Alias(ctx context.Context, alias string) (a Alias, ok bool, err error) {
	a.Alias = alias
	err = s.db.QueryRow(ctx, `
		SELECT a.room, r.room_id, a.creator FROM room_alias a JOIN room r ON r.room = a.room WHERE a.alias = $1`, alias).
		Scan(&a.Room, &a.RoomID, &a.Creator)
	if errors.Is(err, sqldb.ErrNoRows) {
		return Alias{}, false, nil
	} else if err != nil {
		return Alias{}, false, fmt.Errorf("look up alias %s: %w", alias, err)
	}
	return a, true, nil
}

// Aliases lists the aliases of a room.
func (s *Store) Aliases(ctx context.Context, room int64) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT alias FROM room_alias WHERE room = $1 ORDER BY alias`, room)
	if err != nil {
		return nil, fmt.Errorf("read aliases of room %d: %w", room, err)
	}
	defer rows.Close()
	aliases := []string{}
	for rows.Next() {
		var alias string
		if err := rows.Scan(&alias); err != nil {
			return nil, fmt.Errorf("read aliases of room %d: %w", room, err)
		}
		aliases = append(aliases, alias)
	}
	return aliases, rows.Err()
}

// ErrAliasTaken says that the alias exists already.
var ErrAliasTaken = errors.New("alias is taken")

// AddAlias writes a new alias, or fails with ErrAliasTaken.
func (s *Store) AddAlias(ctx context.Context, alias string, room int64, creator string, createdMS int64) error {
	n, err := s.db.Exec(ctx, `
		INSERT INTO room_alias (alias, room, creator, created_ms) VALUES ($1, $2, $3, $4)
		ON CONFLICT (alias) DO NOTHING`, alias, room, creator, createdMS)
	if err != nil {
		return fmt.Errorf("add alias %s: %w", alias, err)
	}
	if n == 0 {
		return ErrAliasTaken
	}
	return nil
}

// DeleteAlias deletes the alias from the room and tells whether it was there.
func (s *Store) DeleteAlias(ctx context.Context, alias string, room int64) (bool, error) {
	n, err := s.db.Exec(ctx, `DELETE FROM room_alias WHERE alias = $1 AND room = $2`, alias, room)
	if err != nil {
		return false, fmt.Errorf("delete alias %s: %w", alias, err)
	}
	return n > 0, nil
}
