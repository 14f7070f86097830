package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Place is where reading a version goes on.
type Place struct {
	// roomID and sessionID are of the last key that was read.
	roomID, sessionID string
	// keyset is the set of keys that is read; 0 before the first page.
	keyset int64
}

const keySQL = `SELECT room_id, session_id, unverified, first_message_index, forwarded_count, session_data FROM backup_key
	WHERE user_id = $1 AND keyset = $2`

// Page reads up to limit keys of a version, in the order of room and session, of one room where roomID is not "", and
// returns where the next page begins. A page is a snapshot; pages together are not, but the error is ErrChanged when the
// version has lost all keys since the first one, and ErrNotFound where there is no such version.
func (s *Store) Page(ctx context.Context, userID string, number int64, roomID string, from Place, limit int) (keys []Key, next Place, err error) {
	next = from
	err = s.db.View(ctx, func(ctx context.Context, q sqldb.Querier) error {
		v, err := version(ctx, q, userID, number)
		if from.keyset != 0 && (errors.Is(err, ErrNotFound) || err == nil && v.keyset != from.keyset) {
			return ErrChanged
		}
		if err != nil {
			return err
		}
		next.keyset = v.keyset
		keys, err = page(ctx, q, userID, roomID, next, limit)
		return err
	})
	if err != nil {
		return nil, from, fmt.Errorf("read keys of backup: %w", err)
	}
	if len(keys) > 0 {
		last := keys[len(keys)-1]
		next.roomID, next.sessionID = last.RoomID, last.SessionID
	}
	return keys, next, nil
}

func page(ctx context.Context, q sqldb.Querier, userID, roomID string, from Place, limit int) ([]Key, error) {
	sql, room := keySQL+` AND (room_id, session_id) > ($3, $4) ORDER BY room_id, session_id LIMIT $5`, from.roomID
	if roomID != "" {
		sql, room = keySQL+` AND room_id = $3 AND session_id > $4 ORDER BY session_id LIMIT $5`, roomID
	}
	rows, err := q.Query(ctx, sql, userID, from.keyset, room, from.sessionID, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		k, err := scanKey(rows)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, rows.Err()
}

// Key reads the key of a session, or ErrNotFound.
func (s *Store) Key(ctx context.Context, userID string, number int64, roomID, sessionID string) (Key, error) {
	k, err := scanKey(s.db.QueryRow(ctx, `SELECT k.room_id, k.session_id, k.unverified, k.first_message_index, k.forwarded_count,
			k.session_data
		FROM backup_version v JOIN backup_key k ON k.user_id = v.user_id AND k.keyset = v.keyset
		WHERE v.user_id = $1 AND v.version = $2 AND k.room_id = $3 AND k.session_id = $4`, userID, number, roomID, sessionID))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Key{}, ErrNotFound
	}
	if err != nil {
		return Key{}, fmt.Errorf("read key of backup: %w", err)
	}
	return k, nil
}

func scanKey(r sqldb.Row) (Key, error) {
	var k Key
	var unverified int64
	err := r.Scan(&k.RoomID, &k.SessionID, &unverified, &k.FirstMessageIndex, &k.ForwardedCount, &k.Data)
	k.IsVerified = unverified == 0
	return k, err
}
