package room

import (
	"context"

	"hongyan/platform/eventlog"
	"hongyan/platform/lease"
	"hongyan/platform/sqldb"
	"hongyan/service/room/internal/store"
)

// database is what is in the service's database besides its tables.
type database struct {
	log     *eventlog.Log
	cursors *eventlog.Cursors
	leases  *lease.Leases
}

// openDatabase brings the database's schema up to date and opens what is in it. A log that is not there yet gets as many
// shards.
func openDatabase(ctx context.Context, db *sqldb.DB, shards int, cfg eventlog.Config) (d database, err error) {
	if err := store.Migrate(ctx, db); err != nil {
		return database{}, err
	}
	if err := fillProfiles(ctx, store.New(db)); err != nil {
		return database{}, err
	}
	if d.log, err = eventlog.Open(ctx, db, store.Schema(shards), cfg); err != nil {
		return database{}, err
	}
	if d.cursors, err = eventlog.OpenCursors(ctx, db, store.LogName); err != nil {
		return database{}, err
	}
	d.leases, err = lease.Open(ctx, db, store.LogName, lease.Config{})
	return d, err
}

// Migrate brings the schema of the service's database up to date, as Prepare does.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	_, err := openDatabase(ctx, db, 0, eventlog.Config{})
	return err
}
