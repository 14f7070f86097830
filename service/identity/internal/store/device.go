package store

import (
	"context"
	"errors"
	"fmt"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// Device is a row of the table device.
type Device struct {
	UserID, DeviceID string
	// DisplayName is nil where none was set.
	DisplayName           *string
	CreatedMs, LastSeenMs int64
	LastSeenIP            string
}

const deviceColumns = `user_id, device_id, display_name, created_ms, last_seen_ms, last_seen_ip`

func scanDevice(row interface{ Scan(...any) error }) (Device, error) {
	var d Device
	err := row.Scan(&d.UserID, &d.DeviceID, &d.DisplayName, &d.CreatedMs, &d.LastSeenMs, &d.LastSeenIP)
	return d, err
}

// Device returns one device.
func (s *Store) Device(ctx context.Context, userID, deviceID string) (Device, bool, error) {
	d, err := scanDevice(s.db.QueryRow(ctx, `SELECT `+deviceColumns+` FROM device WHERE user_id = $1 AND device_id = $2`,
		userID, deviceID))
	if errors.Is(err, sqldb.ErrNoRows) {
		return Device{}, false, nil
	}
	if err != nil {
		return Device{}, false, fmt.Errorf("read device: %w", err)
	}
	return d, true, nil
}

// Devices returns a user's devices in the order of their ids.
func (s *Store) Devices(ctx context.Context, userID string) ([]Device, error) {
	all, err := collect(ctx, s.db, func(r sqldb.Rows) (Device, error) { return scanDevice(r) },
		`SELECT `+deviceColumns+` FROM device WHERE user_id = $1 ORDER BY device_id`, userID)
	if err != nil {
		return nil, fmt.Errorf("read devices: %w", err)
	}
	return all, nil
}

// DevicesOf returns the devices of many users, in no order.
func (s *Store) DevicesOf(ctx context.Context, userIDs []string) ([]Device, error) {
	all, err := collect(ctx, s.db, func(r sqldb.Rows) (Device, error) { return scanDevice(r) },
		`SELECT `+deviceColumns+` FROM device
		WHERE user_id = ANY($1)                            -- postgres
		WHERE user_id IN (SELECT value FROM json_each($1)) -- sqlite`, userIDs)
	if err != nil {
		return nil, fmt.Errorf("read devices: %w", err)
	}
	return all, nil
}

// InsertDevice adds a device.
func InsertDevice(d Device) eventlog.Statement {
	return eventlog.Statement{
		SQL: `INSERT INTO device (` + deviceColumns + `) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (user_id, device_id) DO NOTHING`,
		Args: []any{d.UserID, d.DeviceID, d.DisplayName, d.CreatedMs, d.LastSeenMs, d.LastSeenIP}, Want: 1,
	}
}

// RenameDevice sets a device's display name.
func RenameDevice(userID, deviceID, name string) eventlog.Statement {
	return eventlog.Statement{
		SQL:  `UPDATE device SET display_name = $3 WHERE user_id = $1 AND device_id = $2`,
		Args: []any{userID, deviceID, name}, Want: 1,
	}
}

// DeleteDevices removes devices with their tokens.
func DeleteDevices(userID string, deviceIDs []string) []eventlog.Statement {
	const where = ` WHERE user_id = $1
		AND device_id = ANY($2)                            -- postgres
		AND device_id IN (SELECT value FROM json_each($2)) -- sqlite`
	return []eventlog.Statement{
		{SQL: `DELETE FROM token` + where, Args: []any{userID, deviceIDs}},
		{SQL: `DELETE FROM device` + where, Args: []any{userID, deviceIDs}},
	}
}

// Seen says when and where a device was seen.
type Seen struct {
	UserID, DeviceID string
	Ms               int64
	IP               string
}

// SetSeen stores sightings. Those of devices that are gone and those older than what is stored change nothing.
// Callers give them sorted by user and device, so that two instances never wait for each other.
func (s *Store) SetSeen(ctx context.Context, seen []Seen) error {
	statements := make([]eventlog.Statement, len(seen))
	for i, x := range seen {
		statements[i] = eventlog.Statement{
			SQL: `UPDATE device SET last_seen_ms = $3, last_seen_ip = CASE WHEN $4 = '' THEN last_seen_ip ELSE $4 END
				WHERE user_id = $1 AND device_id = $2 AND last_seen_ms < $3`,
			Args: []any{x.UserID, x.DeviceID, x.Ms, x.IP},
		}
	}
	if err := s.Exec(ctx, statements...); err != nil {
		return fmt.Errorf("store when devices were seen: %w", err)
	}
	return nil
}
