// Package sqldb is the one way to a service's own database: SQLite in a file, or PostgreSQL.
//
// SQL is written once, in PostgreSQL's spelling, with $1, $2, … as placeholders. A line that only one
// database understands ends in a marking comment, and is left out for the other:
//
//	SELECT name FROM alias
//	WHERE id = ANY($1)                            -- postgres
//	WHERE id IN (SELECT value FROM json_each($1)) -- sqlite
//
// Arguments may be integers, strings, []byte, bool, float64, nil, pointers to and named types of these,
// and []int64 and []string, which PostgreSQL gets as arrays and SQLite as JSON arrays. Integers are 64
// bits; times are stored as integers by their owner. Text must be valid UTF-8 without NUL.
//
// # SQLite
//
// One goroutine writes. Writes that queue while it waits for the disk share one transaction and one sync
// (group commit), each within a savepoint of its own, so that a failing one takes none of the others with
// it. Open starts this goroutine and Close waits for it. Reads run on a few read-only connections beside it
// and see the last commit. The journal is a WAL with synchronous=FULL: what Write returned from is on disk.
// A statement is not interrupted when its context ends; the context is looked at before the statement and
// between rows.
//
// # PostgreSQL
//
// A pgx pool. Every session gets time-outs on statements, on locks and on idle transactions, short keepalives
// and synchronous_commit=on; Open asks the server whether they hold, since a paused client would otherwise
// hold its locks for ever.
package sqldb
