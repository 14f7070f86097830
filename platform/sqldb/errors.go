package sqldb

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsUniqueViolation reports whether a row with the same key is already there.
func IsUniqueViolation(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY ||
			lite.Code() == sqlite3.SQLITE_CONSTRAINT_ROWID
	}
	return false
}

// IsRetryable reports whether the same transaction may succeed when it is repeated and was certainly not
// committed: a serialization failure, a deadlock, a lock that was not got in time, a busy database.
func IsRetryable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01", "55P03":
			return true
		}
		return false
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		primary := lite.Code() & 0xff
		return primary == sqlite3.SQLITE_BUSY || primary == sqlite3.SQLITE_LOCKED
	}
	return false
}

// IsConnectionLost reports whether the connection, or SQLite's disk, went while the statement may have been under
// way: its outcome is unknown. It does not hold when the connection could not be made, since then nothing was sent.
func IsConnectionLost(err error) bool {
	if err == nil || isNeverSent(err) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// The session was ended from outside. A statement that is interrupted is not committed, but one that had
		// just been committed may get this answer in place of its own.
		switch pg.Code {
		case "57P01", "57P02", "57P03", "25P03", "57P05", "08000", "08003", "08006", "08007":
			return true
		}
		return false
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		// A sync that failed may have put the transaction on disk all the same.
		return lite.Code()&0xff == sqlite3.SQLITE_IOERR
	}
	var netErr net.Error
	return errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// isNeverSent reports whether the database never saw the statement.
func isNeverSent(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || pgconn.SafeToRetry(err)
}

// IsServerError reports whether the database was reached and refused the statement itself.
func IsServerError(err error) bool {
	if IsConnectionLost(err) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return true
	}
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return false
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return true
	}
	return false
}
