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

// Store reads the service's tables.
type Store struct {
	db *sqldb.DB
}

// Open brings the schema up to date.
func Open(ctx context.Context, db *sqldb.DB) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, sqldb.Migration{Name: "identity", Files: files}); err != nil {
		return nil, fmt.Errorf("migrate identity: %w", err)
	}
	return &Store{db: db}, nil
}

// Exec commits statements that have no log entries, as a whole. As in an append, a statement that affects another number
// of rows than it wants fails all of them with eventlog.ErrConflict.
func (s *Store) Exec(ctx context.Context, statements ...eventlog.Statement) error {
	return s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error {
		for _, st := range statements {
			n, err := tx.Exec(ctx, st.SQL, st.Args...)
			if err != nil {
				return err
			}
			if st.Want > 0 && n != st.Want {
				return eventlog.ErrConflict
			}
		}
		return nil
	})
}

// collect reads all rows of a query.
func collect[T any](ctx context.Context, db *sqldb.DB, scan func(sqldb.Rows) (T, error), sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
