package sqldb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrationLock is the key of the advisory lock that lets one process at a time migrate a PostgreSQL database.
const migrationLock = 0x686f6e6779616e // "hongyan"

// migrationSuffix ends the names of the tables that hold the versions of schemas.
const migrationSuffix = "_migration"

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// Migration brings a schema up to date.
type Migration struct {
	// Name names the schema's owner; its versions are in the table NAME_migration.
	Name string
	// Files holds goose migrations, NNNN_what.sql, at its root. They are written for PostgreSQL; on SQLite BYTEA
	// reads BLOB, BIGINT and BOOLEAN read INTEGER, COLLATE "C" is left out (it is the only order), and marked lines are chosen as in every statement:
	//
	//	id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
	//	id INTEGER PRIMARY KEY,                             -- sqlite
	Files fs.FS
	// Replace are pairs of a text in the files and what stands for it.
	Replace []string
}

// Migrate applies what is missing. On PostgreSQL concurrent callers wait for each other.
func (db *DB) Migrate(ctx context.Context, m Migration) (err error) {
	if !identifier.MatchString(m.Name) {
		return fmt.Errorf("migrate %q: want a lower-case identifier", m.Name)
	}
	std, closeDB, err := db.backend.sqlDB(ctx)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", m.Name, err)
	}
	defer func() { err = errors.Join(err, closeDB()) }()

	dialect := goose.DialectSQLite3
	opts := []goose.ProviderOption{
		goose.WithTableName(m.Name + migrationSuffix),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	}
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, 300))
		if err != nil {
			return fmt.Errorf("migrate %s: %w", m.Name, err)
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	files := translatedFS{m.Files, db.dialect, strings.NewReplacer(m.Replace...)}
	provider, err := goose.NewProvider(dialect, std, files, opts...)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", m.Name, err)
	}
	if upTo := db.upTo[m.Name]; upTo > 0 {
		_, err = provider.UpTo(ctx, upTo)
	} else {
		_, err = provider.Up(ctx)
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", m.Name, err)
	}
	return nil
}

// translatedFS reads SQL files in a dialect.
type translatedFS struct {
	fs.FS
	dialect Dialect
	replace *strings.Replacer
}

func (t translatedFS) Open(name string) (fs.File, error) {
	file, err := t.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	text = []byte(translateSchema(t.replace.Replace(string(text)), t.dialect))
	return &translatedFile{file, bytes.NewReader(text)}, nil
}

type translatedFile struct {
	fs.File
	text *bytes.Reader
}

func (f *translatedFile) Read(p []byte) (int, error) { return f.text.Read(p) }
