package sqldb

import (
	"context"
	"fmt"
)

// maxSessionName is the longest name of a session, in bytes; PostgreSQL cuts off the rest.
const maxSessionName = 63

// sessionName is the name of the sessions of an application: it begins with the application's, so that Others finds
// them whatever the URL calls them.
func sessionName(application, own string) string {
	if own == "" || own == application {
		return application
	}
	name := application + " " + own
	return name[:min(len(name), maxSessionName)]
}

// Others counts the sessions that servers have with this database on PostgreSQL, by whatever user, by the name of the
// application. On SQLite it is 0: who writes to a file has locked its directory.
func (db *DB) Others(ctx context.Context) (int, error) {
	if db.dialect == SQLite {
		return 0, nil
	}
	var n int
	err := db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND split_part(application_name, ' ', 1) = $1`, Application).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the sessions of servers: %w", err)
	}
	return n, nil
}

// Analyze lets PostgreSQL know what is in a table that was filled. It would find out by itself, some time later; SQLite
// needs none of it.
func (db *DB) Analyze(ctx context.Context, t Table) error {
	if db.dialect == SQLite {
		return nil
	}
	if _, err := db.Exec(ctx, `ANALYZE `+quoted(t.Name)); err != nil {
		return fmt.Errorf("analyze table %s: %w", t.Name, err)
	}
	return nil
}
