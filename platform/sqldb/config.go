package sqldb

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where a database is and how much it may use. Only URL is required.
type Config struct {
	// URL is sqlite:PATH, or postgres://user:password@host:port/database?… as libpq reads it.
	URL string
	// MaxConns bounds the connections: PostgreSQL's pool (10), or SQLite's readers (4).
	MaxConns int
	// CacheKiB bounds the page cache of each SQLite connection, in KiB (the writer's 16,384; a reader has a quarter).
	CacheKiB int
	// MaxBatch bounds how many queued writes share a transaction on SQLite (256).
	MaxBatch int
	// ConnectTimeout bounds opening one connection (5 s).
	ConnectTimeout time.Duration
	// LockTimeout bounds waiting for a lock: PostgreSQL's lock_timeout (2 s), SQLite's busy_timeout (5 s).
	LockTimeout time.Duration
	// StatementTimeout is PostgreSQL's statement_timeout (10 s).
	StatementTimeout time.Duration
	// IdleTxTimeout is PostgreSQL's idle_in_transaction_session_timeout (2 s).
	IdleTxTimeout time.Duration
	// TCPUserTimeout is PostgreSQL's tcp_user_timeout (5 s), and three times its interval of keepalives.
	TCPUserTimeout time.Duration
	// Metrics registers the metrics; nil for none.
	Metrics prometheus.Registerer
	// ReadOnly opens the database for reading alone, also while another process writes to it. A database that is
	// not there is an error.
	ReadOnly bool
	// Application is what PostgreSQL calls the sessions ("hongyan"). A name that the URL has comes after it.
	Application string
	// UpTo bounds what Migrate does: of each migration that is named, no later version is applied. It is for a database
	// that is to be filled with what was copied of an older one.
	UpTo map[string]int64
}

// Dialect is the kind of database.
type Dialect int

// The databases that are supported.
const (
	SQLite Dialect = iota + 1
	Postgres
)

// String returns the word that marks a line of SQL as this dialect's.
func (d Dialect) String() string {
	if d == SQLite {
		return "sqlite"
	}
	return "postgres"
}

// Dialect returns which database the URL names.
func (c Config) Dialect() (Dialect, error) {
	switch {
	case strings.HasPrefix(c.URL, "sqlite:"):
		return SQLite, nil
	case strings.HasPrefix(c.URL, "postgres://"), strings.HasPrefix(c.URL, "postgresql://"):
		return Postgres, nil
	default:
		return 0, errors.New("database URL starts with neither sqlite: nor postgres://")
	}
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	d, err := c.Dialect()
	if err != nil {
		return err
	}
	if d == SQLite && c.sqlitePath() == "" {
		return errors.New("database URL names no file: want sqlite:PATH")
	}
	if c.MaxConns < 0 || c.CacheKiB < 0 || c.MaxBatch < 0 {
		return errors.New("database limits must not be negative")
	}
	return nil
}

// String is the URL without its password.
func (c Config) String() string {
	if strings.HasPrefix(c.URL, "sqlite:") {
		return c.URL
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return "postgres://(unreadable)"
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// GoString keeps %#v from printing the password.
func (c Config) GoString() string { return fmt.Sprintf("sqldb.Config{%s}", c) }

func (c Config) sqlitePath() string {
	return strings.TrimPrefix(strings.TrimPrefix(c.URL, "sqlite:"), "//")
}

func (c Config) withDefaults(d Dialect) Config {
	conns, lock := 10, 2*time.Second
	if d == SQLite {
		conns, lock = 4, 5*time.Second
	}
	c.MaxConns = orDefault(c.MaxConns, conns)
	c.LockTimeout = orDefault(c.LockTimeout, lock)
	c.CacheKiB = orDefault(c.CacheKiB, 16<<10)
	c.MaxBatch = orDefault(c.MaxBatch, 256)
	c.ConnectTimeout = orDefault(c.ConnectTimeout, 5*time.Second)
	c.StatementTimeout = orDefault(c.StatementTimeout, 10*time.Second)
	c.IdleTxTimeout = orDefault(c.IdleTxTimeout, 2*time.Second)
	c.TCPUserTimeout = orDefault(c.TCPUserTimeout, 5*time.Second)
	c.Application = orDefault(c.Application, Application)
	return c
}

// Application is what PostgreSQL calls a server's sessions.
const Application = "hongyan"

func orDefault[T int | string | time.Duration](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
