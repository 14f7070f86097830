package sync

import (
	"context"

	"hongyan/platform/eventlog"
	"hongyan/platform/lease"
	"hongyan/platform/sqldb"
	"hongyan/service/sync/internal/userlog"
)

// database is what is in the service's database: the log "sync", how far it follows the room log, and which instance does.
type database struct {
	log     *eventlog.Log
	cursors *eventlog.Cursors
	leases  *lease.Leases
}

// openDatabase brings the database's schema up to date and opens what is in it.
func openDatabase(ctx context.Context, db *sqldb.DB, cfg eventlog.Config) (d database, err error) {
	name := userlog.Schema().Name
	if d.log, err = eventlog.Open(ctx, db, userlog.Schema(), cfg); err != nil {
		return database{}, err
	}
	if d.cursors, err = eventlog.OpenCursors(ctx, db, name); err != nil {
		return database{}, err
	}
	d.leases, err = lease.Open(ctx, db, name, lease.Config{})
	return d, err
}
