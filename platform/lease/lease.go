package lease

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"time"

	"hongyan/platform/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// Config is how leases work. The zero value works.
type Config struct {
	// For is how long a lease lasts unless it is renewed, which happens three times as often (3 s).
	For time.Duration
}

// Leases are an instance's leases in its service's database, in the table NAME_lease.
type Leases struct {
	db  *sqldb.DB
	sql statements
	// holder is this instance. Another Leases on the same database is another holder.
	holder string
	lasts  time.Duration
	// only says that the database belongs to one process.
	only bool
}

type statements struct{ take, held, release string }

// now is the database's clock in milliseconds since 1970.
const now = `
	CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)        -- postgres
	CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)          -- sqlite
`

// Open makes the table where it is missing.
func Open(ctx context.Context, db *sqldb.DB, name string, cfg Config) (*Leases, error) {
	if !identifier.MatchString(name) || cfg.For < 0 {
		return nil, fmt.Errorf("leases %q: want a lower-case identifier and a time that is not negative", name)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	table := name + suffix
	err = db.Migrate(ctx, sqldb.Migration{Name: table, Files: files, Replace: []string{"{lease}", table}})
	if err != nil {
		return nil, fmt.Errorf("open leases %s: %w", name, err)
	}
	if cfg.For == 0 {
		cfg.For = 3 * time.Second
	}
	return &Leases{
		db: db, holder: rand.Text(), lasts: cfg.For, only: db.Dialect() == sqldb.SQLite,
		sql: statements{
			take: `INSERT INTO ` + table + ` AS l (name, holder, until_ms) VALUES ($1, $2, $3 + ` + now + `)
				ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
				WHERE $4 OR l.holder = excluded.holder OR l.until_ms <= ` + now,
			held:    `SELECT holder FROM ` + table + ` WHERE name = $1 AND until_ms > ` + now,
			release: `DELETE FROM ` + table + ` WHERE name = $1 AND holder = $2`,
		},
	}, nil
}

// lease is one lease of an instance that may hold it.
type lease struct {
	*Leases
	name string
	// first is set until the instance has held it once.
	first bool
}

// take takes the lease, or keeps it. It tells whether the instance holds it.
func (l *lease) take(ctx context.Context) (bool, error) {
	lasts := l.lasts.Milliseconds()
	if l.only {
		lasts = math.MaxInt64 >> 2
	}
	n, err := l.db.Exec(ctx, l.sql.take, l.name, l.holder, lasts, l.only && l.first)
	if err != nil {
		return false, fmt.Errorf("take lease %s: %w", l.name, err)
	}
	l.first = l.first && n == 0
	return n == 1, nil
}

// holds returns who holds the lease; nobody is "".
func (l *lease) holds(ctx context.Context) (string, error) {
	rows, err := l.db.Query(ctx, l.sql.held, l.name)
	if err != nil {
		return "", fmt.Errorf("look at lease %s: %w", l.name, err)
	}
	defer rows.Close()
	var holder string
	for rows.Next() {
		if err := rows.Scan(&holder); err != nil {
			return "", fmt.Errorf("look at lease %s: %w", l.name, err)
		}
	}
	return holder, rows.Err()
}

// tryTake takes the lease if nobody else has it. Who waits for it only reads.
func (l *lease) tryTake(ctx context.Context) (bool, error) {
	if !l.only || !l.first {
		holder, err := l.holds(ctx)
		if err != nil || holder != "" && holder != l.holder {
			return false, err
		}
	}
	return l.take(ctx)
}

// renew keeps the lease. It tells whether the instance still holds it.
func (l *lease) renew(ctx context.Context) (bool, error) {
	if !l.only {
		return l.take(ctx)
	}
	holder, err := l.holds(ctx)
	return holder == l.holder, err
}

// release gives the lease back, for another instance to take at once.
func (l *lease) release(ctx context.Context) error {
	if _, err := l.db.Exec(ctx, l.sql.release, l.name, l.holder); err != nil {
		return fmt.Errorf("release lease %s: %w", l.name, err)
	}
	return nil
}
