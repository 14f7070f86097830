// Package store is the room service's database: its tables, the rows that appends to the room log write beside their
// entries, and what is read. Store serves the writing half of the service, Reader the reading half; no statement goes
// through a table, which a test asks both databases about.
package store
