package store

import (
	"context"
	"fmt"

	"hongyan/platform/eventlog"
)

// Keys of devices and cross-signing keys are signed and verified by their names, the device id or the public key, so no two of one
// user may have the same. Both are written by appends to the user's stream of the device-list log, which see each other.

// Crossed tells whether one of a user's cross-signing keys is called as a device.
func (s *Store) Crossed(ctx context.Context, userID, deviceID string) (crossed bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM cross_signing_key WHERE user_id = $1 AND public_key = $2)`,
		userID, deviceID).Scan(&crossed)
	if err != nil {
		return false, fmt.Errorf("look for a cross-signing key: %w", err)
	}
	return crossed, nil
}

// HoldNotCrossed lets an append to a user's stream of the device-list log be written only while none of the user's cross-signing keys
// is called as the device.
func HoldNotCrossed(stream int64, userID, deviceID string) eventlog.Statement {
	return eventlog.Statement{
		SQL: `UPDATE device_list_stream SET seq = seq WHERE stream = $1
			AND NOT EXISTS (SELECT 1 FROM cross_signing_key WHERE user_id = $2 AND public_key = $3)`,
		Args: []any{stream, userID, deviceID}, Want: 1,
	}
}

// HoldNoDevices lets an append to a user's stream of the device-list log be written only while none of the user's devices, as far as
// they have keys, is called as one of these.
func HoldNoDevices(stream int64, userID string, names []string) eventlog.Statement {
	return eventlog.Statement{
		SQL: `UPDATE device_list_stream SET seq = seq WHERE stream = $1
			AND NOT EXISTS (SELECT 1 FROM device WHERE user_id = $2 AND removed_ms = 0
				AND device_id = ANY($3)                            -- postgres
				AND device_id IN (SELECT value FROM json_each($3)) -- sqlite
			)`,
		Args: []any{stream, userID, names}, Want: 1,
	}
}
