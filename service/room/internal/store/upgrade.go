package store

import "hongyan/platform/eventlog"

// MoveAliases makes the aliases of a room lead to another one.
func MoveAliases(room int64, toRoomID string) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `UPDATE room_alias SET room = (SELECT r.room FROM room r WHERE r.room_id = $1) WHERE room = $2`,
		Args: []any{toRoomID, room},
	}
}

// MoveVisibility lists another room in the directory in place of a room, if that one is listed.
func MoveVisibility(room int64, toRoomID string) []eventlog.Statement {
	return []eventlog.Statement{
		{
			SQL:  `UPDATE room SET visibility = (SELECT o.visibility FROM room o WHERE o.room = $1) WHERE room_id = $2`,
			Args: []any{room, toRoomID},
		},
		{
			SQL: `UPDATE room_listing SET published = (SELECT o.published FROM room_listing o WHERE o.room = $1)
				WHERE room = (SELECT r.room FROM room r WHERE r.room_id = $2)`,
			Args: []any{room, toRoomID},
		},
		{SQL: `UPDATE room SET visibility = 'private' WHERE room = $1`, Args: []any{room}},
		{SQL: `UPDATE room_listing SET published = 0 WHERE room = $1`, Args: []any{room}},
	}
}
