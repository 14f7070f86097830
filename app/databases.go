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

// database returns where a service keeps its data: what "databases" says of it; else "database", where a PostgreSQL
// URL without the placeholder gives each service a schema of its own; else a SQLite file in the data directory.
func (c Config) database(service string, dir *dataDir) (address, schema string, err error) {
	own, ok := c.Databases[service]
	switch {
	case ok:
		return string(own), "", nil
	case c.Database == "":
		return "sqlite:" + dir.file(service+".db"), "", nil
	case strings.Contains(string(c.Database), servicePlaceholder):
		return strings.ReplaceAll(string(c.Database), servicePlaceholder, service), "", nil
	}
	u, err := url.Parse(string(c.Database))
	if err != nil {
		return "", "", errors.New("database: not a URL") // the error would show the password
	}
	query := u.Query()
	query.Set("search_path", service)
	u.RawQuery = query.Encode()
	return u.String(), service, nil
}

// openDatabase opens the database of a service.
func (c Config) openDatabase(ctx context.Context, service string, dir *dataDir) (*sqldb.DB, error) {
	address, schema, err := c.database(service, dir)
	if err != nil {
		return nil, err
	}
	if schema != "" {
		if err := ensureSchema(ctx, address, schema); err != nil {
			return nil, fmt.Errorf("database of %s: %w", service, err)
		}
	}
	db, err := sqldb.Open(ctx, sqldb.Config{URL: address})
	if err != nil {
		return nil, fmt.Errorf("database of %s: %w", service, err)
	}
	return db, nil
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
	_, err = conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	var made *pgconn.PgError
	if errors.As(err, &made) && (made.Code == "23505" || made.Code == "42P06") {
		return nil // another instance made it at the same time
	}
	return err
}
