package store

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"

	"hongyan/platform/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store reads and writes the tables.
type Store struct{ db *sqldb.DB }

// New returns a store over a database that Migrate has brought up to date.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

// Migrate brings the tables up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	return db.Migrate(ctx, sqldb.Migration{Name: "social_service", Files: files})
}

// Write runs f in a transaction.
func (s *Store) Write(ctx context.Context, f func(context.Context, Tx) error) error {
	return s.db.Write(ctx, func(ctx context.Context, tx sqldb.Tx) error { return f(ctx, Tx{tx}) })
}

// Tx writes the tables within a transaction.
type Tx struct{ sqldb.Tx }

// exec runs a statement that may change any number of rows.
func (tx Tx) exec(ctx context.Context, what, sql string, args ...any) error {
	if _, err := tx.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// each runs a statement that does something for each of some rows of values, which are its only argument: as JSON, since both databases
// read that in one pass.
func (tx Tx) each(ctx context.Context, what, sql string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return tx.exec(ctx, what, sql, string(text))
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
