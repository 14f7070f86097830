package eventlog

// Schema declares a log. Its tables are NAME_stream, NAME_shard, NAME_entry, NAME_latest and NAME_txn.
type Schema struct {
	// Name prefixes the tables and names the log on the bus.
	Name string
	// Shards is used when the log is created; an existing log keeps its own number.
	Shards int
	// Tables are the service's own tables that appends write rows to. The service's migrations create them.
	Tables []Table
	// Doc, where set, is the side table that holds the entries' documents, found by their ref.
	Doc *DocTable
}

// DocTable says where the documents of entries are.
type DocTable struct {
	Table, Ref, Column string
}

// Table is a side table that appends insert into.
type Table struct {
	Name    string
	Columns []Column
	// Key are the columns of the primary key. A row whose key exists replaces the columns in Update,
	// or is an error when Update is empty.
	Key, Update []string
	// Add are those of Update to which the row's value is added. Others may then change the column beside the appends, without the
	// stream's sequence: what an append adds does not depend on what it has read.
	Add []string
}

// Column is a column of a side table.
type Column struct {
	Name string
	Type ColumnType
}

// ColumnType is the type of a column in both databases.
type ColumnType int

// Column types: SQLite's and PostgreSQL's.
const (
	Int   ColumnType = iota // INTEGER, BIGINT
	Text                    // TEXT
	Bytes                   // BLOB, BYTEA
	Bool                    // INTEGER, BOOLEAN
)
