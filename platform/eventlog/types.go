package eventlog

import (
	"errors"
	"fmt"
	"hash/fnv"
)

// DefaultShards is the number of shards of a new deployment's logs. It never changes afterwards.
const DefaultShards = 64

// AnySeq as an Append's Expect says that the append does not depend on the stream's sequence.
const AnySeq int64 = -1

// ShardOf returns the shard of a stream: 0 to shards-1, the same on every instance for ever.
func ShardOf(name string, shards int) int {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	// FNV's low bits are weak for short names that differ in their last byte: fold the high half in.
	sum := h.Sum64()
	return int((sum ^ sum>>32) % uint64(shards))
}

// Stream is a room or a user in a log.
type Stream struct {
	// ID is the stream's number in this database.
	ID int64
	// Name is the room id or the user id. Append does without it, with a look-up when it is not remembered.
	Name string
	// Shard is where its entries are.
	Shard int
	// Seq is the sequence number of its newest entry when it was read; 0 when it has none.
	Seq int64
}

// Kind tells readers what an entry's body is. Each log defines its own; readers skip kinds that they do not know.
type Kind int16

// Entry is one thing to append.
type Entry struct {
	Kind Kind
	// Key, where not empty, makes the entry latest-wins within its stream.
	Key string
	// Rank makes the greatest rank win, and of equal ones the latest, where it is positive: an entry of less rank than
	// what is stored under its key leaves nothing behind, whichever instance wrote that. It needs a Key.
	Rank int64
	// Ref identifies the entry when an outcome is unknown: the event id, or a random id. Entries
	// without a key need one, unique in the log.
	Ref string
	// Body is the entry's content, or what belongs to it beside its document.
	Body []byte
	// Doc is the document that a row of Schema.Doc's table holds. It is not written again; it is
	// here so that readers of the newest entries need no database.
	Doc []byte
}

// Row is a row of a side table that Schema declares, written if and only if its append is.
type Row struct {
	// Table is the index of the table in Schema.Tables.
	Table int
	// Values are in the order of the table's columns. nil is NULL.
	Values []any
}

// Statement is SQL that runs in the append's transaction, before the append. It is for rare writes that
// are no insert; $1, $2, … are its arguments, and lines are marked as package sqldb has them. Where Want is positive,
// another number of affected rows fails the append with ErrConflict and nothing is written; the statement
// then is an INSERT, UPDATE or DELETE without RETURNING.
type Statement struct {
	SQL  string
	Args []any
	Want int64
}

// Append is what is written, or not, as a whole: entries of one stream and what belongs to them.
type Append struct {
	Stream Stream
	// Expect is the stream's sequence that the caller's checks were made against, or AnySeq.
	Expect  int64
	Entries []Entry
	Rows    []Row
	Txns    []Txn
	// Statements run before the append. On PostgreSQL appends with statements share a commit with others of their kind that expect
	// no sequence; where one of those is refused, they are written again in two halves.
	Statements []Statement
}

// Result is what an append got.
type Result struct {
	// Seq is the stream's sequence after the append.
	Seq int64
	// Positions are the shard positions of the entries, in their order. That of an entry that was outranked is empty.
	Positions []int64
}

// Record is an entry as it is read.
type Record struct {
	Shard    int
	Position int64
	Stream   int64
	// Name is the stream's name: the room id, the user id.
	Name string
	// Seq is 0 for a latest-wins entry.
	Seq  int64
	Kind Kind
	Key  string
	Ref  string
	Body []byte
	// Doc is the document found by Ref in Schema.Doc's table; nil where the log has none.
	Doc []byte
}

// Heads are the positions of the newest entries of all shards.
type Heads struct {
	// Epoch changes when the log was restored from a backup: positions of another epoch mean nothing.
	Epoch uint64
	Shard []int64
}

// ErrConflict says that the stream's sequence is not the expected one any more: read it again, check
// again, append again.
var ErrConflict = errors.New("stream has moved on")

// ErrUnavailable says that the append was certainly not written: the database could not be reached, or the context
// ended first, or the log is closed.
var ErrUnavailable error = unavailable("log is unavailable")

// ErrUnknown says that the context or the log's own time-out ended while the append may have been under way: it was
// written or will have been, or not. A repeat is safe with a transaction id or with Expect.
var ErrUnknown error = unavailable("outcome of the append is unknown")

// unavailable is an error that edges answer with a 503: see matrix.AsError.
type unavailable string

// Error implements error.
func (u unavailable) Error() string { return string(u) }

// Unavailable says that the same may be tried again.
func (unavailable) Unavailable() bool { return true }

// ErrExists says that a row of a side table, or a ref, was there already: nothing was written.
var ErrExists = errors.New("row exists")

// DuplicateTxnError says that the transaction id was used before: nothing was written.
type DuplicateTxnError struct {
	Scope, ID string
	// Response is what the first use was answered.
	Response []byte
}

func (e *DuplicateTxnError) Error() string {
	return fmt.Sprintf("transaction %q was already answered", e.ID)
}
