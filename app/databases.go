package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/app/transfer"
	"hongyan/platform/eventlog"
	"hongyan/platform/sqldb"
)

// DatabaseURL is a database's URL. It prints without its password.
type DatabaseURL string

// String hides the password.
func (u DatabaseURL) String() string {
	if u == "" {
		return ""
	}
	return sqldb.Config{URL: string(u)}.String()
}

// GoString hides the password from %#v.
func (u DatabaseURL) GoString() string { return `"` + u.String() + `"` }

// MarshalYAML hides the password.
func (u DatabaseURL) MarshalYAML() (any, error) { return u.String(), nil }

// servicePlaceholder stands for the service's name in the setting "database".
const servicePlaceholder = "{service}"

// database returns where a service keeps its data: what "databases" says of it; else "database"; else a SQLite file in the data
// directory. On PostgreSQL each service has a schema of its name, whether its database is shared or its own, so that every way to
// name a database finds the same tables; the URL of a service's own database may say another one (search_path), which must be there.
func (c Config) database(service string, dir *dataDir) (address, schema string, err error) {
	address = strings.ReplaceAll(string(c.Database), servicePlaceholder, service)
	own, isOwn := c.Databases[service]
	if isOwn {
		address = string(own)
	}
	if address == "" {
		return "sqlite:" + dir.file(service+".db"), "", nil
	}
	if d, err := (sqldb.Config{URL: address}).Dialect(); err != nil || d != sqldb.Postgres {
		return address, "", err
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", "", errors.New("database: not a URL") // the error would show the password
	}
	query := u.Query()
	shared := !isOwn && !strings.Contains(string(c.Database), servicePlaceholder)
	if query.Has("search_path") && !shared {
		return address, "", nil
	}
	query.Set("search_path", service)
	u.RawQuery = query.Encode()
	return u.String(), service, nil
}

// openDatabase opens the database of a service for a server.
func (c Config) openDatabase(ctx context.Context, service string, dir *dataDir, metrics prometheus.Registerer) (*sqldb.DB, error) {
	if err := c.refuseMoved(service, dir); err != nil {
		return nil, err
	}
	db, err := c.open(ctx, service, dir, sqldb.Config{Metrics: metrics})
	if err != nil {
		return nil, err
	}
	if err := transfer.Refuse(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("database of %s: %w", service, err), db.Close())
	}
	return db, nil
}

// open opens the database of a service, wherever it is, and makes its schema unless it is for reading only.
func (c Config) open(ctx context.Context, service string, dir *dataDir, with sqldb.Config) (*sqldb.DB, error) {
	address, schema, err := c.database(service, dir)
	if err != nil {
		return nil, err
	}
	if schema != "" && !with.ReadOnly {
		if err := ensureSchema(ctx, address, schema); err != nil {
			return nil, fmt.Errorf("database of %s: %w", service, err)
		}
	}
	with.URL = address
	if d, err := with.Dialect(); err == nil && d == sqldb.Postgres {
		with.MaxConns = c.DatabaseMaxConns - logConns(service)
	}
	db, err := sqldb.Open(ctx, with)
	if err != nil {
		return nil, fmt.Errorf("database of %s: %w", service, err)
	}
	return db, nil
}

// logConns is how many of a service's connections to PostgreSQL are its logs'.
func logConns(service string) int {
	for _, t := range targets() {
		if t.name == service && t.logConns > 0 {
			return t.logConns
		}
	}
	return eventlog.DefaultConns
}

// inDataDir tells whether a service's database is a file in the data directory, by no other name than its own.
func (c Config) inDataDir(service string) bool {
	_, own := c.Databases[service]
	return c.Database == "" && !own
}

// refuseMoved returns why a database in the data directory must not be used; nil where it may.
func (c Config) refuseMoved(service string, dir *dataDir) error {
	if !c.inDataDir(service) {
		return nil
	}
	where, err := dir.movedTo()
	if err != nil || where == "" {
		return err
	}
	return fmt.Errorf("the databases in %s were moved to %s by \"hongyan migrate\", and what is here is no longer what is "+
		"used: set \"database\". To go back to it, and lose what came since, remove %s", dir.path, where, dir.file(movedFile))
}

// schemaTimeout bounds the making of a schema.
const schemaTimeout = 15 * time.Second

// ensureSchema makes the schema where it is missing.
func ensureSchema(ctx context.Context, address, schema string) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var inPublic bool
	table := schema + "_log_migration"
	err = conn.QueryRow(ctx, "SELECT to_regclass($1) IS NULL AND to_regclass($2) IS NOT NULL",
		pgx.Identifier{schema, table}.Sanitize(), pgx.Identifier{"public", table}.Sanitize()).Scan(&inPublic)
	if err != nil {
		return err
	}
	if inPublic {
		return fmt.Errorf("its tables are in the schema public, where earlier versions made them: add search_path=public to the URL, "+
			"or move them to the schema %s", schema)
	}
	_, err = conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	var made *pgconn.PgError
	if errors.As(err, &made) && (made.Code == "23505" || made.Code == "42P06") {
		return nil // another instance made it at the same time
	}
	return err
}
