package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Key is a one-time key or a fallback key.
type Key struct {
	DeviceID, Algorithm string
	// KeyID is without the algorithm.
	KeyID string
	JSON  []byte
	// Used tells of a fallback key whether it was handed out.
	Used bool
}

func scanKey(r sqldb.Rows) (k Key, err error) {
	err = r.Scan(&k.DeviceID, &k.Algorithm, &k.KeyID, &k.JSON, &k.Used)
	return k, err
}

// OneTimeTotal returns how many one-time keys a device has, and the ordinal of the newest that it has uploaded; 0 for none.
func (s *Store) OneTimeTotal(ctx context.Context, userID, deviceID string) (total int, ordinal int64, err error) {
	var remembered int64
	err = s.db.QueryRow(ctx, `SELECT count(*), CAST(COALESCE(max(ordinal), 0) AS BIGINT), CAST(COALESCE((
			SELECT ordinal FROM uploaded_key WHERE user_id = $1 AND device_id = $2 ORDER BY ordinal DESC LIMIT 1
		), 0) AS BIGINT) FROM one_time_key WHERE user_id = $1 AND device_id = $2`, userID, deviceID).Scan(&total, &ordinal, &remembered)
	if err != nil {
		return 0, 0, fmt.Errorf("count one-time keys: %w", err)
	}
	return total, max(ordinal, remembered), nil
}

// FallbackKeys returns all fallback keys of a device.
func (s *Store) FallbackKeys(ctx context.Context, userID, deviceID string) ([]Key, error) {
	found, err := collect(ctx, s.db, scanKey, `SELECT device_id, algorithm, key_id, json, used
		FROM fallback_key WHERE user_id = $1 AND device_id = $2`, userID, deviceID)
	if err != nil {
		return nil, fmt.Errorf("read fallback keys: %w", err)
	}
	return found, nil
}

// OneTimeRow inserts a one-time key. It is an error of the append if the device has one of this id.
func OneTimeRow(userID string, k Key, ordinal int64) eventlog.Row {
	return eventlog.Row{
		Table: tableOneTimeKey, Values: []any{userID, k.DeviceID, k.Algorithm, k.KeyID, ordinal, k.JSON},
	}
}

// FallbackRow replaces the fallback key of an algorithm by one that was not handed out.
func FallbackRow(userID string, k Key) eventlog.Row {
	return eventlog.Row{Table: tableFallbackKey, Values: []any{userID, k.DeviceID, k.Algorithm, k.KeyID, k.JSON, false}}
}

// Oldest returns, for each device and algorithm of these lists, the one-time key that was uploaded first. What has none is
// missing.
func (s *Store) Oldest(ctx context.Context, userID string, deviceIDs, algorithms []string) ([]Key, error) {
	// PostgreSQL takes several times as long to plan SQLite's query as to run it.
	found, err := collect(ctx, s.db, scanKey, `SELECT k.device_id, k.algorithm, k.key_id, k.json, FALSE
		FROM unnest($2::text[], $3::text[]) AS w(device_id, algorithm) CROSS JOIN LATERAL (SELECT x.* FROM one_time_key x -- postgres
		FROM `+wantedLite+` one_time_key k ON k.user_id = $1 AND k.device_id = w.device_id AND k.algorithm = w.algorithm  -- sqlite
			AND k.key_id = (SELECT x.key_id FROM one_time_key x                                                           -- sqlite
			WHERE x.user_id = $1 AND x.device_id = w.device_id AND x.algorithm = w.algorithm
			ORDER BY x.ordinal, x.key_id LIMIT 1)
			AS k -- postgres
		`, userID, deviceIDs, algorithms)
	if err != nil {
		return nil, fmt.Errorf("read the oldest one-time keys: %w", err)
	}
	return found, nil
}

// Fallbacks returns the fallback keys for each device and algorithm of these lists.
func (s *Store) Fallbacks(ctx context.Context, userID string, deviceIDs, algorithms []string) ([]Key, error) {
	found, err := collect(ctx, s.db, scanKey, `SELECT k.device_id, k.algorithm, k.key_id, k.json, k.used
		FROM `+wanted+` fallback_key k ON k.user_id = $1 AND k.device_id = w.device_id AND k.algorithm = w.algorithm`,
		userID, deviceIDs, algorithms)
	if err != nil {
		return nil, fmt.Errorf("read fallback keys: %w", err)
	}
	return found, nil
}

// wanted is a table of two lists, $2 and $3, side by side, to be joined with another one, which is looked up for each row.
const wanted = `
	unnest($2::text[], $3::text[]) AS w(device_id, algorithm) JOIN -- postgres
	` + wantedLite + ` -- sqlite
	`

// wantedLite is SQLite's.
const wantedLite = `(SELECT value AS device_id, json_extract($3, '$[' || key || ']') AS algorithm FROM json_each($2)) AS w CROSS JOIN`

// these is the condition that a row is of three lists, $2 to $4, side by side.
const these = ` WHERE user_id = $1 AND (device_id, algorithm, key_id) IN (
	SELECT * FROM unnest($2::text[], $3::text[], $4::text[])                                       -- postgres
	SELECT value, json_extract($3, '$[' || key || ']'), json_extract($4, '$[' || key || ']') FROM json_each($2) -- sqlite
	)`

// Take deletes one-time keys. It conflicts where one of them is gone.
func Take(userID string, keys []Key) eventlog.Statement {
	devices, algorithms, ids := lists(keys)
	return eventlog.Statement{
		SQL: `DELETE FROM one_time_key` + these, Args: []any{userID, devices, algorithms, ids}, Want: int64(len(keys)),
	}
}

// MarkUsed notes that fallback keys were handed out. It conflicts where one of them was replaced, or noted already.
func MarkUsed(userID string, keys []Key) eventlog.Statement {
	devices, algorithms, ids := lists(keys)
	return eventlog.Statement{
		SQL:  `UPDATE fallback_key SET used = TRUE` + these + ` AND NOT used`,
		Args: []any{userID, devices, algorithms, ids}, Want: int64(len(keys)),
	}
}

func lists(keys []Key) (devices, algorithms, ids []string) {
	for _, k := range keys {
		devices, algorithms, ids = append(devices, k.DeviceID), append(algorithms, k.Algorithm), append(ids, k.KeyID)
	}
	return devices, algorithms, ids
}
