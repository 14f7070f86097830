package store

import (
	"embed"
	"io/fs"

	"hongyan/platform/sqldb"
)

// Store reads the room service's tables. What belongs to a room's log is written by appends (see Schema); the
// few methods that write say so.
type Store struct {
	db *sqldb.DB
}

// New returns the store of a database.
func New(db *sqldb.DB) *Store { return &Store{db: db} }

func sub(files embed.FS) (fs.FS, error) { return fs.Sub(files, "migrations") }
