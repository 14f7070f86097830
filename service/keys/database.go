package keys

import (
	"context"

	"hongyan/platform/eventlog"
	"hongyan/platform/lease"
	"hongyan/platform/sqldb"
	"hongyan/service/keys/internal/backup"
	"hongyan/service/keys/internal/store"
)

// The logs' connections to PostgreSQL: changes of device lists are few, and all of one shard.
const (
	userCommitters       = 2
	deviceListCommitters = 1
	// LogConns is how many connections to PostgreSQL both logs have at most, besides those of their database: one a
	// committer, and one more each to settle what was lost.
	LogConns = userCommitters + 1 + deviceListCommitters + 1
)

// tailBytes is the memory for the newest entries of each log, in bytes.
const (
	userTailBytes       = 16 << 20
	deviceListTailBytes = 2 << 20
)

// database is what is in the service's database besides its tables.
type database struct {
	// users is the log "keys", deviceList the log "device_list".
	users, deviceList *eventlog.Log
	cursors           *eventlog.Cursors
	leases            *lease.Leases
}

// openDatabase brings the database's schema up to date and opens what is in it. configure says how a log of this name works.
func openDatabase(ctx context.Context, db *sqldb.DB, configure func(log string) eventlog.Config) (d database, err error) {
	if d.users, err = eventlog.Open(ctx, db, store.UserSchema(), configure(store.UserLog)); err != nil {
		return database{}, err
	}
	if d.deviceList, err = eventlog.Open(ctx, db, store.DeviceListSchema(), configure(store.DeviceListLog)); err != nil {
		return database{}, err
	}
	// After the logs: one of the migrations changes what is in a log's table.
	if err := store.Migrate(ctx, db); err != nil {
		return database{}, err
	}
	if err := backup.Migrate(ctx, db); err != nil {
		return database{}, err
	}
	if d.cursors, err = eventlog.OpenCursors(ctx, db, store.UserLog); err != nil {
		return database{}, err
	}
	d.leases, err = lease.Open(ctx, db, store.UserLog, lease.Config{})
	return d, err
}

// Migrate brings the schema of the service's database up to date, as Prepare does.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	_, err := openDatabase(ctx, db, func(string) eventlog.Config { return eventlog.Config{} })
	return err
}
