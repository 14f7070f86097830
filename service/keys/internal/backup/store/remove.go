package store

import (
	"context"
	"fmt"

	"hongyan/platform/sqldb"
)

// some chooses keys of a set by where their rows are: a list, which the database makes once.
const some = `
	WHERE ctid = ANY(ARRAY(SELECT ctid FROM backup_key k -- postgres
	WHERE rowid IN (SELECT rowid FROM backup_key k       -- sqlite
`

// removeSQL removes some keys of a room, or the key of one session where that is not "", and returns their sizes.
const removeSQL = `DELETE FROM backup_key` + some + `
		WHERE k.user_id = $1 AND k.keyset = $2 AND k.room_id = $3 AND ($4 = '' OR k.session_id = $4) LIMIT $5
	)) -- postgres
	)  -- sqlite
	RETURNING octet_length(session_data)`

// collectSQL removes some keys of a set that nobody else removes at the moment.
const collectSQL = `DELETE FROM backup_key` + some + `
		WHERE k.user_id = $1 AND k.keyset = $2 LIMIT $3
		FOR UPDATE SKIP LOCKED)) -- postgres
	)                            -- sqlite`

// Clear removes all keys of a version, which need not be the current one, at once. The error is ErrNotFound where there is no
// such version.
func (s *Store) Clear(ctx context.Context, userID string, number int64) (State, error) {
	var state State
	err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		v, err := locked(ctx, tx, userID, number)
		if err == nil && v.Count > 0 {
			v, err = v.clear(ctx, tx, userID)
		}
		state = v.State
		return err
	})
	if err != nil {
		return State{}, fmt.Errorf("remove keys of backup: %w", err)
	}
	return state, nil
}

func (v Version) clear(ctx context.Context, tx sqldb.Tx, userID string) (Version, error) {
	if _, err := tx.Exec(ctx, `INSERT INTO backup_dropped (user_id, keyset) VALUES ($1, $2)`, userID, v.keyset); err != nil {
		return v, err
	}
	err := execAll(ctx, tx, []any{userID}, `UPDATE backup_owner SET last_keyset = last_keyset + 1 WHERE user_id = $1`)
	if err != nil {
		return v, err
	}
	err = tx.QueryRow(ctx, `SELECT last_keyset FROM backup_owner WHERE user_id = $1`, userID).Scan(&v.keyset)
	if err != nil {
		return v, err
	}
	return v.change(ctx, tx, userID, -v.Count, -v.bytes)
}

// Remove removes the keys of a room, or the key of one session where sessionID is not "", from a version, which need not be
// the current one. Many keys are removed in several transactions. The error is ErrNotFound where there is no such version.
func (s *Store) Remove(ctx context.Context, userID string, number int64, roomID, sessionID string) (State, error) {
	for {
		var state State
		var removed int64
		err := s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
			v, err := locked(ctx, tx, userID, number)
			if err == nil {
				v, removed, err = v.remove(ctx, tx, userID, roomID, sessionID)
			}
			state = v.State
			return err
		})
		if err != nil {
			return State{}, fmt.Errorf("remove keys of backup: %w", err)
		}
		if removed < chunk {
			return state, nil
		}
	}
}

func (v Version) remove(ctx context.Context, tx sqldb.Tx, userID, roomID, sessionID string) (Version, int64, error) {
	rows, err := tx.Query(ctx, removeSQL, userID, v.keyset, roomID, sessionID, chunk)
	if err != nil {
		return v, 0, err
	}
	defer rows.Close()
	var removed, bytes int64
	for rows.Next() {
		var size int64
		if err := rows.Scan(&size); err != nil {
			return v, 0, err
		}
		removed, bytes = removed+1, bytes+size
	}
	if err := rows.Err(); err != nil || removed == 0 {
		return v, 0, err
	}
	rows.Close()
	v, err = v.change(ctx, tx, userID, -removed, -bytes)
	return v, removed, err
}

// locked locks the user's backups and returns a version.
func locked(ctx context.Context, tx sqldb.Tx, userID string, number int64) (Version, error) {
	if _, err := lock(ctx, tx, userID); err != nil {
		return Version{}, err
	}
	return version(ctx, tx, userID, number)
}

// Collect removes some keys that no version has any more, and returns whether there may be others. Several may do so at
// once.
func (s *Store) Collect(ctx context.Context) (more bool, err error) {
	var userID string
	var keyset int64
	rows, err := s.db.Query(ctx, `SELECT user_id, keyset FROM backup_dropped ORDER BY user_id, keyset LIMIT 1`)
	if err != nil {
		return false, fmt.Errorf("find dropped keys: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	if err := rows.Scan(&userID, &keyset); err != nil {
		return false, fmt.Errorf("find dropped keys: %w", err)
	}
	rows.Close()
	n, err := s.db.Exec(ctx, collectSQL, userID, keyset, chunk)
	if err == nil && n == 0 {
		n, err = s.db.Exec(ctx, `DELETE FROM backup_dropped WHERE user_id = $1 AND keyset = $2
			AND NOT EXISTS (SELECT 1 FROM backup_key WHERE user_id = $1 AND keyset = $2)`, userID, keyset)
	}
	if err != nil {
		return false, fmt.Errorf("remove dropped keys: %w", err)
	}
	return n > 0, nil
}
