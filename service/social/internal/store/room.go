package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// Room is what of a room decides who sees its members.
type Room struct {
	RoomID string
	// JoinPublic says that everybody may join, WorldReadable that everybody may read.
	JoinPublic, WorldReadable bool
}

// Public tells whether everybody sees the room's members.
func (r Room) Public() bool { return r.JoinPublic || r.WorldReadable }

// Rooms returns those of the rooms that are there.
func (tx Tx) Rooms(ctx context.Context, roomIDs []string) (map[string]Room, error) {
	list, err := collect(ctx, tx, func(rows sqldb.Rows) (r Room, err error) {
		return r, rows.Scan(&r.RoomID, &r.JoinPublic, &r.WorldReadable)
	}, `SELECT room_id, join_public, world_readable FROM room
		WHERE room_id = ANY($1)                              -- postgres
		WHERE room_id IN (SELECT value FROM json_each($1))   -- sqlite`, roomIDs)
	if err != nil {
		return nil, fmt.Errorf("read rooms: %w", err)
	}
	rooms := make(map[string]Room, len(list))
	for _, r := range list {
		rooms[r.RoomID] = r
	}
	return rooms, nil
}

// SetRoom stores a room of a shard. Where it becomes public, or no longer is, so do its members.
func (tx Tx) SetRoom(ctx context.Context, shard int, r Room, known, wasPublic bool) error {
	err := tx.exec(ctx, "set room", `INSERT INTO room (room_id, shard, join_public, world_readable) VALUES ($1, $2, $3, $4)
		ON CONFLICT (room_id) DO UPDATE SET join_public = excluded.join_public, world_readable = excluded.world_readable`,
		r.RoomID, shard, r.JoinPublic, r.WorldReadable)
	if err != nil || !known || wasPublic == r.Public() {
		return err
	}
	return tx.exec(ctx, "set the members of a room", `UPDATE member SET public = $2 WHERE room_id = $1`, r.RoomID, r.Public())
}

// Member is a user with a room.
type Member struct {
	UserID, RoomID string
	// Joined is false for whoever is not there, or not any more; Public is the room's.
	Joined, Public bool
}

// SetMembers stores who is joined and who is not. Nobody is given twice.
func (tx Tx) SetMembers(ctx context.Context, members []Member) error {
	var come, gone [][]any
	for _, m := range members {
		if m.Joined {
			come = append(come, []any{m.UserID, m.RoomID, m.Public})
		} else {
			gone = append(gone, []any{m.UserID, m.RoomID})
		}
	}
	err := tx.each(ctx, "remove members", `DELETE FROM member WHERE (user_id, room_id) IN (
		SELECT r->>0, r->>1 FROM json_array_elements($1::text::json) AS r                           -- postgres
		SELECT value->>0, value->>1 FROM json_each($1)                                              -- sqlite
		)`, gone)
	if err != nil {
		return err
	}
	return tx.each(ctx, "add members", `INSERT INTO member (user_id, room_id, public)
		SELECT r->>0, r->>1, (r->>2)::boolean FROM json_array_elements($1::text::json) AS r         -- postgres
		SELECT value->>0, value->>1, value->>2 FROM json_each($1) WHERE true                        -- sqlite
		ON CONFLICT (user_id, room_id) DO UPDATE SET public = excluded.public`, come)
}

// ForgetRooms removes rooms, with their members.
func (tx Tx) ForgetRooms(ctx context.Context, roomIDs []string) error {
	if len(roomIDs) == 0 {
		return nil
	}
	for _, table := range []string{`member`, `room`} {
		err := tx.exec(ctx, "forget a room", `DELETE FROM `+table+`
			WHERE room_id = ANY($1)                              -- postgres
			WHERE room_id IN (SELECT value FROM json_each($1))   -- sqlite`, roomIDs)
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetRoomsOf removes the rooms of a shard, with their members.
func (tx Tx) ForgetRoomsOf(ctx context.Context, shard int) error {
	err := tx.exec(ctx, "forget members", `DELETE FROM member WHERE room_id IN (SELECT room_id FROM room WHERE shard = $1)`, shard)
	if err != nil {
		return err
	}
	return tx.exec(ctx, "forget rooms", `DELETE FROM room WHERE shard = $1`, shard)
}

// ForgetAllRooms removes all rooms, with their members.
func (tx Tx) ForgetAllRooms(ctx context.Context) error {
	if err := tx.exec(ctx, "forget members", `DELETE FROM member`); err != nil {
		return err
	}
	return tx.exec(ctx, "forget rooms", `DELETE FROM room`)
}
