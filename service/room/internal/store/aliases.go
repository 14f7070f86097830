package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
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

// CountAliases counts the aliases of a room.
func (s *Store) CountAliases(ctx context.Context, room int64) (n int, err error) {
	if err := s.db.QueryRow(ctx, `SELECT count(*) FROM room_alias WHERE room = $1`, room).Scan(&n); err != nil {
		return 0, fmt.Errorf("count aliases of room %d: %w", room, err)
	}
	return n, nil
}

// AddAlias writes a new alias.
func AddAlias(alias string, room int64, creator string, createdMS int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `INSERT INTO room_alias (alias, room, creator, created_ms) VALUES ($1, $2, $3, $4)
			ON CONFLICT (alias) DO NOTHING`,
		Args: []any{alias, room, creator, createdMS}, Want: 1,
	}
}

// DeleteAlias deletes an alias of the room.
func DeleteAlias(alias string, room int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `DELETE FROM room_alias WHERE alias = $1 AND room = $2`, Args: []any{alias, room}, Want: 1,
	}
}
