package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Device says which device the rows of a device id belong to.
type Device struct {
	DeviceID string
	// CreatedMs is when identity made it; it tells it from others that had its id before.
	CreatedMs int64
	// RemovedMs is when its removal was followed; 0 while it is there.
	RemovedMs int64
}

// Devices reads what is known of devices of a user; those of which nothing is are missing.
func (s *Store) Devices(ctx context.Context, userID string, deviceIDs []string) (map[string]Device, error) {
	scan := func(r sqldb.Rows) (d Device, err error) {
		err = r.Scan(&d.DeviceID, &d.CreatedMs, &d.RemovedMs)
		return d, err
	}
	all, err := collect(ctx, s.db, scan, `SELECT device_id, created_ms, removed_ms FROM device WHERE user_id = $1
		AND device_id = ANY($2)                            -- postgres
		AND device_id IN (SELECT value FROM json_each($2)) -- sqlite`, userID, deviceIDs)
	if err != nil {
		return nil, fmt.Errorf("read devices of a user: %w", err)
	}
	byID := make(map[string]Device, len(all))
	for _, d := range all {
		byID[d.DeviceID] = d
	}
	return byID, nil
}

// Device reads what is known of one device; the zero value where nothing is.
func (s *Store) Device(ctx context.Context, q sqldb.Querier, userID, deviceID string) (Device, error) {
	d := Device{DeviceID: deviceID}
	err := q.QueryRow(ctx, `SELECT created_ms, removed_ms FROM device WHERE user_id = $1 AND device_id = $2`, userID, deviceID).
		Scan(&d.CreatedMs, &d.RemovedMs)
	if err != nil && !errors.Is(err, sqldb.ErrNoRows) {
		return Device{}, fmt.Errorf("read device: %w", err)
	}
	return d, nil
}

// HoldDevice lets an append be written only for the device that is there: it makes the device's row where it is missing, and
// conflicts where the device was removed or is a later one. It locks the row until the append is written.
func HoldDevice(userID, deviceID string, createdMs int64) eventlog.Statement {
	return eventlog.Statement{
		SQL: `INSERT INTO device AS d (user_id, device_id, created_ms, removed_ms) VALUES ($1, $2, $3, 0)
			ON CONFLICT (user_id, device_id) DO UPDATE SET removed_ms = 0
			WHERE d.created_ms = excluded.created_ms AND d.removed_ms = 0`,
		Args: []any{userID, deviceID, createdMs}, Want: 1,
	}
}

// ReplaceDevice makes a later device out of one, of which nothing is kept.
func ReplaceDevice(userID string, old Device, createdMs int64) []eventlog.Statement {
	return append([]eventlog.Statement{{
		SQL: `UPDATE device SET created_ms = $4, removed_ms = 0
			WHERE user_id = $1 AND device_id = $2 AND created_ms = $3 AND removed_ms = $5`,
		Args: []any{userID, old.DeviceID, old.CreatedMs, createdMs, old.RemovedMs}, Want: 1,
	}}, append(forgetDevice(userID, old.DeviceID), forgetMessages(userID, old.DeviceID, createdMs))...)
}

// RemoveDevice notes that a device was removed, and forgets what belonged to it. It conflicts where the row is another than
// old, the zero value for none: then createdMs is when the device was made.
func RemoveDevice(userID string, old Device, createdMs, nowMs int64) []eventlog.Statement {
	note := eventlog.Statement{
		SQL:  `UPDATE device SET removed_ms = $4 WHERE user_id = $1 AND device_id = $2 AND created_ms = $3`,
		Args: []any{userID, old.DeviceID, old.CreatedMs, nowMs}, Want: 1,
	}
	if old.CreatedMs == 0 {
		note = eventlog.Statement{
			SQL: `INSERT INTO device (user_id, device_id, created_ms, removed_ms) VALUES ($1, $2, $3, $4)
				ON CONFLICT (user_id, device_id) DO NOTHING`,
			Args: []any{userID, old.DeviceID, createdMs, nowMs}, Want: 1,
		}
	}
	return append([]eventlog.Statement{note}, forgetDevice(userID, old.DeviceID)...)
}

// forgetDevice deletes what belongs to a device, but not the messages that wait for it: see ForgetMessages. Whoever changes
// several of these tables does so in this order.
func forgetDevice(userID, deviceID string) []eventlog.Statement {
	of := func(sql string, args ...any) eventlog.Statement { return eventlog.Statement{SQL: sql, Args: args} }
	return []eventlog.Statement{
		of(`DELETE FROM one_time_key WHERE user_id = $1 AND device_id = $2`, userID, deviceID),
		of(`DELETE FROM uploaded_key WHERE user_id = $1 AND device_id = $2`, userID, deviceID),
		of(`DELETE FROM fallback_key WHERE user_id = $1 AND device_id = $2`, userID, deviceID),
		of(`DELETE FROM device_key WHERE user_id = $1 AND device_id = $2`, userID, deviceID),
		of(`DELETE FROM key_signature WHERE user_id = $1 AND key_id = $2`, userID, deviceID),
		of(`DELETE FROM key_signature WHERE signer = $1 AND signer_key = $2`, userID, "ed25519:"+deviceID),
		of(`DELETE FROM keys_latest WHERE stream = (SELECT stream FROM keys_stream WHERE name = $1) AND key = $2`,
			userID, CountsKey(deviceID)),
	}
}

// Removal is a device that was removed.
type Removal struct{ UserID, DeviceID string }

// Removals lists which devices were removed before a time, with when they were made, or a later time before their removal.
func (s *Store) Removals(ctx context.Context, beforeMs int64) (map[Removal]int64, error) {
	type row struct {
		Removal
		createdMs int64
	}
	scan := func(r sqldb.Rows) (x row, err error) {
		err = r.Scan(&x.UserID, &x.DeviceID, &x.createdMs)
		return x, err
	}
	rows, err := collect(ctx, s.db, scan,
		`SELECT user_id, device_id, created_ms FROM device WHERE removed_ms > 0 AND removed_ms < $1`, beforeMs)
	if err != nil {
		return nil, fmt.Errorf("read removed devices: %w", err)
	}
	removals := make(map[Removal]int64, len(rows))
	for _, r := range rows {
		removals[r.Removal] = r.createdMs
	}
	return removals, nil
}

// ForgetRemovals forgets which devices were removed before a time: nothing is under way for them any more.
func (s *Store) ForgetRemovals(ctx context.Context, beforeMs int64) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM device WHERE removed_ms > 0 AND removed_ms < $1`, beforeMs); err != nil {
		return fmt.Errorf("forget removed devices: %w", err)
	}
	return nil
}

// ForgetUser deletes all that belongs to a user, but not which devices were removed.
func ForgetUser(userID string) []eventlog.Statement {
	var statements []eventlog.Statement
	for _, sql := range []string{
		`DELETE FROM one_time_key WHERE user_id = $1`,
		`DELETE FROM uploaded_key WHERE user_id = $1`,
		`DELETE FROM fallback_key WHERE user_id = $1`,
		`DELETE FROM device_key WHERE user_id = $1`,
		`DELETE FROM cross_signing_key WHERE user_id = $1`,
		`DELETE FROM key_signature WHERE user_id = $1`,
		`DELETE FROM key_signature WHERE signer = $1`,
		`DELETE FROM keys_latest WHERE stream = (SELECT stream FROM keys_stream WHERE name = $1)`,
	} {
		statements = append(statements, eventlog.Statement{SQL: sql, Args: []any{userID}})
	}
	return statements
}

// CountsKey is the key of the entry that tells that the counts of a device have changed.
func CountsKey(deviceID string) string { return "c/" + url.PathEscape(deviceID) }
