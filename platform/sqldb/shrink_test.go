package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"hongyan/platform/sqldb"
)

// fillAndEmpty writes some 8 MB into a table and removes all of it.
func fillAndEmpty(t *testing.T, db *sqldb.DB) {
	t.Helper()
	_, err := db.Exec(t.Context(), `CREATE TABLE IF NOT EXISTS heap (id BIGINT PRIMARY KEY, body BYTEA NOT NULL)`)
	require.NoError(t, err)
	body := make([]byte, 8000)
	require.NoError(t, db.Write(t.Context(), func(ctx context.Context, tx sqldb.Tx) error {
		for i := range 1000 {
			if _, err := tx.Exec(ctx, `INSERT INTO heap (id, body) VALUES ($1, $2)`, i, body); err != nil {
				return err
			}
		}
		return nil
	}))
	_, err = db.Exec(t.Context(), `DELETE FROM heap`)
	require.NoError(t, err)
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// TestFileShrinks is that a new database's file becomes as small as it was, in steps, once rows are removed.
func TestFileShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:" + path})
	require.NoError(t, err)
	fillAndEmpty(t, db)
	shrinks, err := db.Shrinks(t.Context())
	require.NoError(t, err)
	require.True(t, shrinks)
	steps, total := 0, 0
	for {
		pages, err := db.Shrink(t.Context(), 10, 300)
		require.NoError(t, err)
		require.LessOrEqual(t, pages, 301, "a step is bounded")
		if pages == 0 {
			break
		}
		steps, total = steps+1, total+pages
	}
	require.Greater(t, steps, 3)
	require.Greater(t, total, 1000)
	free := 0
	require.NoError(t, db.QueryRow(t.Context(), "PRAGMA freelist_count").Scan(&free))
	require.LessOrEqual(t, free, 10)
	require.NoError(t, db.Close())
	require.Less(t, sizeOf(t, path), int64(200<<10))
}

// TestOldFileShrinksOnceCompacted is that a database of before this was thought of works, gives nothing back, and does once it was
// compacted.
func TestOldFileShrinksOnceCompacted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.db")
	old, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
	require.NoError(t, err)
	_, err = old.Exec(`CREATE TABLE kept (n INTEGER); INSERT INTO kept VALUES (7)`)
	require.NoError(t, err)
	require.NoError(t, old.Close())

	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: "sqlite:" + path})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	fillAndEmpty(t, db)
	shrinks, err := db.Shrinks(t.Context())
	require.NoError(t, err)
	require.False(t, shrinks)
	pages, err := db.Shrink(t.Context(), 10, 300)
	require.NoError(t, err)
	require.Zero(t, pages)

	before, after, err := db.Compact(t.Context())
	require.NoError(t, err)
	require.Greater(t, before, int64(4<<20))
	require.Less(t, after, int64(100<<10))
	shrinks, err = db.Shrinks(t.Context())
	require.NoError(t, err)
	require.True(t, shrinks, fmt.Sprint(before, " ", after))
	n := 0
	require.NoError(t, db.QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n))
	require.Equal(t, 7, n)
	fillAndEmpty(t, db)
	pages, err = db.Shrink(t.Context(), 10, 300)
	require.NoError(t, err)
	require.GreaterOrEqual(t, pages, 300)
}
