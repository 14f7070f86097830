package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"hongyan/platform/sqldb"
)

// Key is the key of a session, as clients store it.
type Key struct {
	RoomID, SessionID                 string
	FirstMessageIndex, ForwardedCount int64
	IsVerified                        bool
	// Data is session_data, a JSON object.
	Data string
}

// row is a Key as statements read it from JSON.
type row struct {
	RoomID            string `json:"room_id"`
	SessionID         string `json:"session_id"`
	Unverified        int64  `json:"unverified"`
	FirstMessageIndex int64  `json:"first_message_index"`
	ForwardedCount    int64  `json:"forwarded_count"`
	Data              string `json:"session_data"`
}

// given is the keys that a statement was given as its third argument.
const given = `
	FROM json_to_recordset(CAST($3 AS TEXT)::json) AS n(room_id TEXT, session_id TEXT, unverified BIGINT, -- postgres
		first_message_index BIGINT, forwarded_count BIGINT, session_data TEXT)                            -- postgres
	FROM (SELECT value ->> 'room_id' AS room_id, value ->> 'session_id' AS session_id,                    -- sqlite
		value ->> 'unverified' AS unverified, value ->> 'first_message_index' AS first_message_index,     -- sqlite
		value ->> 'forwarded_count' AS forwarded_count, value ->> 'session_data' AS session_data          -- sqlite
		FROM json_each($3)) AS n                                                                          -- sqlite
`

// storeSQL stores keys; of two keys of a session the better one stays, whoever comes first.
const storeSQL = `INSERT INTO backup_key
		(user_id, keyset, room_id, session_id, unverified, first_message_index, forwarded_count, session_data)
	SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT),
		n.room_id, n.session_id, n.unverified, n.first_message_index, n.forwarded_count, n.session_data` + given + `
	WHERE true
	ON CONFLICT (user_id, keyset, room_id, session_id) DO UPDATE SET
		unverified = excluded.unverified, first_message_index = excluded.first_message_index,
		forwarded_count = excluded.forwarded_count, session_data = excluded.session_data
	WHERE (excluded.unverified, excluded.first_message_index, excluded.forwarded_count)
		< (backup_key.unverified, backup_key.first_message_index, backup_key.forwarded_count)`

// storedSQL counts what is stored of the sessions that keys are given of.
const storedSQL = `SELECT count(*), COALESCE(sum(octet_length(k.session_data)), 0)` + given + `
	CROSS JOIN backup_key k
	WHERE k.user_id = $1 AND k.keyset = $2 AND k.room_id = n.room_id AND k.session_id = n.session_id`

// Put stores keys of different sessions in the user's current version, in transactions of so many keys that nobody waits for
// them long, and tells how many were stored; what was stored before a failure stays. Errors are ErrNotFound, WrongVersionError and ErrFull.
func (s *Store) Put(
	ctx context.Context, userID string, number int64, keys []Key, limits Limits,
) (state State, stored int64, err error) {
	for {
		n := min(len(keys), chunk)
		state, changed, err := s.putChunk(ctx, userID, number, keys[:n], limits)
		if err != nil {
			return State{}, stored, fmt.Errorf("store keys in backup: %w", err)
		}
		stored += changed
		if keys = keys[n:]; len(keys) == 0 {
			return state, stored, nil
		}
	}
}

func (s *Store) putChunk(
	ctx context.Context, userID string, number int64, keys []Key, limits Limits,
) (state State, changed int64, err error) {
	rows := make([]row, len(keys))
	for i, k := range keys {
		rows[i] = row{
			RoomID: k.RoomID, SessionID: k.SessionID, Unverified: 1, Data: k.Data,
			FirstMessageIndex: k.FirstMessageIndex, ForwardedCount: k.ForwardedCount,
		}
		if k.IsVerified {
			rows[i].Unverified = 0
		}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return State{}, 0, fmt.Errorf("encode keys: %w", err)
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		v, err := writable(ctx, tx, userID, number)
		if err == nil && len(keys) > 0 {
			v, changed, err = v.put(ctx, tx, userID, string(text), limits)
		}
		state = v.State
		return err
	})
	return state, changed, err
}

// writable locks the user's backups and returns the version of this number, if it is the one to store keys in.
func writable(ctx context.Context, tx sqldb.Tx, userID string, number int64) (Version, error) {
	if _, err := lock(ctx, tx, userID); err != nil {
		return Version{}, err
	}
	v, err := current(ctx, tx, userID)
	if err != nil || v.Number == number {
		return v, err
	}
	if _, err := version(ctx, tx, userID, number); err != nil {
		return Version{}, err
	}
	return Version{}, WrongVersionError{Current: v.Number}
}

// put stores keys, as rows in JSON, in a version that is locked, and returns the version as it is then and how
// many were stored.
func (v Version) put(ctx context.Context, tx sqldb.Tx, userID, rows string, limits Limits) (Version, int64, error) {
	stored := func() (count, bytes int64, err error) {
		err = tx.QueryRow(ctx, storedSQL, userID, v.keyset, rows).Scan(&count, &bytes)
		return count, bytes, err
	}
	countBefore, bytesBefore, err := stored()
	if err != nil {
		return v, 0, err
	}
	changed, err := tx.Exec(ctx, storeSQL, userID, v.keyset, rows)
	if err != nil || changed == 0 {
		return v, 0, err
	}
	countAfter, bytesAfter, err := stored()
	if err != nil {
		return v, 0, err
	}
	more, longer := countAfter-countBefore, bytesAfter-bytesBefore
	if err := fits(ctx, tx, userID, more, longer, limits); err != nil {
		return v, 0, err
	}
	v, err = v.change(ctx, tx, userID, more, longer)
	return v, changed, err
}

// change writes down that keys of a version that is locked have changed, and by how much it has grown.
func (v Version) change(ctx context.Context, tx sqldb.Tx, userID string, more, longer int64) (Version, error) {
	v.Count, v.bytes, v.ETag = v.Count+more, v.bytes+longer, v.ETag+1
	n, err := tx.Exec(ctx, `UPDATE backup_version SET keyset = $3, key_count = $4, key_bytes = $5, etag = $6
		WHERE user_id = $1 AND version = $2`, userID, v.Number, v.keyset, v.Count, v.bytes, v.ETag)
	if err == nil && n != 1 {
		err = errors.New("the version is gone although it is locked")
	}
	return v, err
}

// fits refuses what makes a user's backups larger than they may be.
func fits(ctx context.Context, tx sqldb.Tx, userID string, more, longer int64, limits Limits) error {
	if more <= 0 && longer <= 0 {
		return nil
	}
	var count, bytes int64
	err := tx.QueryRow(ctx, `SELECT CAST(sum(key_count) AS BIGINT), CAST(sum(key_bytes) AS BIGINT) FROM backup_version
		WHERE user_id = $1`, userID).Scan(&count, &bytes)
	if err != nil {
		return err
	}
	if more > 0 && count+more > int64(limits.Keys) || longer > 0 && bytes+longer > limits.Bytes {
		return ErrFull
	}
	return nil
}
