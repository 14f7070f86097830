package sqldb

import (
	"context"
	"fmt"
)

// incremental is SQLite's auto_vacuum that keeps track of free pages and gives them back when it is told to.
const incremental = 2

// Shrinks tells whether the file of a SQLite database can give the space of removed rows back: one that was made by a version that
// did not think of it needs Compact once. PostgreSQL uses the space again by itself.
func (db *DB) Shrinks(ctx context.Context) (bool, error) {
	l, ok := db.backend.(*lite)
	if !ok {
		return true, nil
	}
	if l.writer == nil {
		return false, ErrReadOnly
	}
	mode := 0
	// The other connections may remember what it was.
	err := l.writer.between(func(conn *liteConn) error {
		return liteTx{conn}.QueryRow(ctx, "PRAGMA auto_vacuum").Scan(&mode)
	})
	if err != nil {
		return false, mark(fmt.Errorf("ask whether the database shrinks: %w", err))
	}
	return mode == incremental, nil
}

// Shrink gives free pages of a SQLite database back, at most so many at once and all but keep, and returns how many it has given
// back. Its file becomes smaller when the log is copied back into it. Other writes wait. On PostgreSQL it does nothing.
func (db *DB) Shrink(ctx context.Context, keep, most int) (pages int, err error) {
	l, ok := db.backend.(*lite)
	if !ok {
		return 0, nil
	}
	if l.writer == nil {
		return 0, ErrReadOnly
	}
	free := 0
	if err := db.QueryRow(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return 0, fmt.Errorf("count free pages: %w", err)
	}
	if free = min(free-keep, most); free <= 0 {
		return 0, nil
	}
	err = l.writer.between(func(conn *liteConn) error {
		before, err := pageCount(conn)
		if err != nil {
			return err
		}
		// Each step of the statement gives one page back.
		rows, err := conn.open(context.Background(), fmt.Sprintf("PRAGMA incremental_vacuum(%d)", free), nil, nil)
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return err
		}
		after, err := pageCount(conn)
		pages = before - after
		return err
	})
	if err != nil {
		return 0, mark(fmt.Errorf("shrink: %w", err))
	}
	return pages, nil
}

// Compact writes the file of a SQLite database anew without its free pages, so that from then on it shrinks, and returns its sizes
// before and after, in bytes. It needs as much space again meanwhile, and other writes wait. On PostgreSQL it does nothing.
func (db *DB) Compact(ctx context.Context) (before, after int64, err error) {
	l, ok := db.backend.(*lite)
	if !ok {
		return 0, 0, nil
	}
	if l.writer == nil {
		return 0, 0, ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	err = l.writer.between(func(conn *liteConn) error {
		if before, err = fileSize(conn); err != nil {
			return err
		}
		for _, sql := range []string{fmt.Sprintf("PRAGMA auto_vacuum = %d", incremental), "VACUUM"} {
			if _, err := conn.execute(context.Background(), sql, nil); err != nil {
				return err
			}
		}
		if _, _, err := checkpoint(conn, "PASSIVE"); err != nil {
			return err
		}
		after, err = fileSize(conn)
		return err
	})
	if err != nil {
		return 0, 0, mark(fmt.Errorf("compact: %w", err))
	}
	return before, after, nil
}

func pageCount(conn *liteConn) (n int, err error) {
	err = liteTx{conn}.QueryRow(context.Background(), "PRAGMA page_count").Scan(&n)
	return n, err
}

func fileSize(conn *liteConn) (int64, error) {
	pages, err := pageCount(conn)
	if err != nil {
		return 0, err
	}
	size := 0
	err = liteTx{conn}.QueryRow(context.Background(), "PRAGMA page_size").Scan(&size)
	return int64(pages) * int64(size), err
}
