package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// The names of the service's logs: on the bus, and before the names of their tables.
const (
	// UserLog is sharded by user id: to-device messages, counts of keys.
	UserLog = "keys"
	// DeviceListLog has one shard: whose devices or cross-signing keys changed.
	DeviceListLog = "device_list"
)

// Store reads the tables.
type Store struct{ db *sqldb.DB }

// New returns a store over a database that Migrate has brought up to date.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

// Migrate brings the tables up to date; those of the logs are eventlog's.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	return db.Migrate(ctx, sqldb.Migration{Name: "keys_service", Files: files})
}

// Exec runs statements in one transaction. It fails with eventlog.ErrConflict where one changes another number of rows than it
// wants.
func (s *Store) Exec(ctx context.Context, statements []eventlog.Statement) error {
	if len(statements) == 0 {
		return nil
	}
	return s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		for _, st := range statements {
			n, err := tx.Exec(ctx, st.SQL, st.Args...)
			if err != nil {
				return fmt.Errorf("change keys: %w", err)
			}
			if st.Want > 0 && n != st.Want {
				return fmt.Errorf("change keys: %w: %d rows changed, not %d", eventlog.ErrConflict, n, st.Want)
			}
		}
		return nil
	})
}

// collect reads all rows of a query.
func collect[T any](
	ctx context.Context, q sqldb.Querier, scan func(sqldb.Rows) (T, error), sql string, args ...any,
) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
