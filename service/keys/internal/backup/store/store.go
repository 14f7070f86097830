package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"hongyan/platform/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// chunk is how many keys a transaction stores or removes at most: on SQLite all other writes wait for it.
const chunk = 1000

// ErrNotFound says that the user has no such version, or the version no such key.
var ErrNotFound = errors.New("not found")

// ErrChanged says that a version lost all its keys while it was read.
var ErrChanged = errors.New("the backup was deleted while it was read")

// ErrFull says that the user has as much as a user may have.
var ErrFull = errors.New("backup is full")

// WrongVersionError says that a version is not the one that keys are stored in.
type WrongVersionError struct {
	// Current is the version that they are stored in.
	Current int64
}

// Error says which version is current.
func (e WrongVersionError) Error() string {
	return fmt.Sprintf("the current backup version is %d", e.Current)
}

// Store keeps the backups.
type Store struct {
	db *sqldb.DB
}

// New returns a store over a database that Migrate has brought up to date.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

// Migrate brings the schema up to date.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("open migrations: %w", err)
	}
	if err := db.Migrate(ctx, sqldb.Migration{Name: "backup", Files: files}); err != nil {
		return fmt.Errorf("migrate backup: %w", err)
	}
	return nil
}

// lock makes all other writers of a user's backups wait for the transaction, and returns the user's last version.
func lock(ctx context.Context, tx sqldb.Tx, userID string) (last int64, err error) {
	err = tx.QueryRow(ctx, `SELECT last_version FROM backup_owner WHERE user_id = $1
		FOR UPDATE -- postgres`, userID).Scan(&last)
	if errors.Is(err, sqldb.ErrNoRows) {
		return 0, nil
	}
	return last, err
}

// execAll runs statements with the same arguments.
func execAll(ctx context.Context, tx sqldb.Tx, args []any, statements ...string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql, args...); err != nil {
			return err
		}
	}
	return nil
}
