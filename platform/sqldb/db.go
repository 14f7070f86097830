package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNoRows is what Row.Scan returns when there is no row.
var ErrNoRows = sql.ErrNoRows

// ErrClosed is returned by every call after Close.
var ErrClosed = errors.New("database is closed")

// Rows are the result of a query. They must be closed; reading them to the end closes them too.
type Rows interface {
	Next() bool
	// Scan copies the row into pointers to int64, int, string, []byte, bool, float64, types whose kind is
	// one of these, pointers to these (nil for NULL), or a sql.Scanner. An empty []byte may come back as nil.
	Scan(dest ...any) error
	// Err is what ended Next early.
	Err() error
	Close()
}

// Row is the first row of a result.
type Row interface {
	// Scan is Rows.Scan, or ErrNoRows.
	Scan(dest ...any) error
}

// Querier reads.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) Row
}

// Tx reads and writes within a transaction. It must not be used after the function that it was given to.
type Tx interface {
	Querier
	// Exec returns how many rows were affected.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
}

// ErrReadOnly is returned by what would write to a database that was opened for reading.
var ErrReadOnly = errors.New("database is open for reading only")

// backend is a database of one dialect.
type backend interface {
	Querier
	write(ctx context.Context, f func(context.Context, Tx) error) error
	exec(ctx context.Context, sql string, args []any) (int64, error)
	view(ctx context.Context, f func(context.Context, Querier) error) error
	fill(ctx context.Context, f func(context.Context, Filling) error) error
	sqlDB(ctx context.Context) (*sql.DB, func() error, error)
	use() use
	rewrite(sql string) string
	close() error
}

// DB is an open database. Its methods may be called concurrently.
type DB struct {
	dialect Dialect
	backend backend
	pool    *pgxpool.Pool
	observe *observer
	upTo    map[string]int64
}

var _ Querier = (*DB)(nil)

// Open opens the database, and makes the file where SQLite has none. It fails when PostgreSQL cannot be
// reached or does not hold the session's settings.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d, err := cfg.Dialect()
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults(d)
	db := &DB{dialect: d, observe: newObserver(cfg.Metrics, d), upTo: cfg.UpTo}
	if d == SQLite {
		db.backend, err = openSQLite(cfg)
	} else {
		var pg *postgres
		if pg, err = openPostgres(ctx, cfg); err == nil {
			db.backend, db.pool = pg, pg.pool
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", cfg, err)
	}
	registerUse(cfg.Metrics, db.backend.use)
	return db, nil
}

// Dialect returns which database this is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Pool returns PostgreSQL's pool, and nil on SQLite. It is for code that needs arrays, pipelines or
// the identity of a connection; everything else uses DB's methods.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// SQL returns a statement as this database is sent it: without the other's lines.
func (db *DB) SQL(sql string) string { return db.backend.rewrite(sql) }

// Query reads on its own: it sees what was committed before it, never a transaction in progress. The rows
// hold a connection until they are closed; do not query once more while holding them. On PostgreSQL a query whose
// connection is lost before its first row is repeated, so that it must not write.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	ctx, op := db.observe.begin(ctx, kindQuery, sql)
	rows, err := db.backend.Query(ctx, sql, args...)
	if err != nil {
		op.end(err)
		return nil, mark(err)
	}
	return &observedRows{Rows: rows, op: op}, nil
}

// QueryRow is Query for one row. The connection is held until Scan, which must be called.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) Row {
	ctx, op := db.observe.begin(ctx, kindQuery, sql)
	return &observedRow{Row: db.backend.QueryRow(ctx, sql, args...), op: op}
}

// View runs f on one snapshot: all its queries see the same commits.
func (db *DB) View(ctx context.Context, f func(context.Context, Querier) error) error {
	ctx, op := db.observe.begin(ctx, kindView, "")
	run := f
	if op.span != nil {
		run = func(ctx context.Context, q Querier) error { return f(ctx, tracedQuerier{q, db.observe}) }
	}
	err := db.backend.view(ctx, run)
	op.end(err)
	return mark(err)
}

// Write runs f in a transaction and commits it when f returns nil. When Write has returned nil, what f wrote is
// on disk; when it returns f's error, nothing of it is. f must do nothing else than read and write through
// its Tx: on SQLite all other writes wait for it, and on PostgreSQL it may be repeated after a serialization
// failure, a deadlock or a connection that was lost before the commit. It must not write to the tables of an eventlog.
//
// An error for which IsConnectionLost holds leaves open whether the transaction was committed.
func (db *DB) Write(ctx context.Context, f func(context.Context, Tx) error) error {
	ctx, op := db.observe.begin(ctx, kindWrite, "")
	run := f
	if op.span != nil {
		run = func(ctx context.Context, tx Tx) error { return f(ctx, tracedTx{tx, db.observe}) }
	}
	err := db.backend.write(ctx, run)
	op.end(err)
	return mark(err)
}

// Exec is Write for one statement.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	ctx, op := db.observe.begin(ctx, kindExec, sql)
	n, err := db.backend.exec(ctx, sql, args)
	op.end(err)
	return n, mark(err)
}

// Close waits for the writes that were accepted and closes all connections.
func (db *DB) Close() error { return db.backend.close() }
