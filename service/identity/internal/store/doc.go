// Package store holds the identity service's tables, one file a table.
//
// Methods of Store read, and write what belongs to no account. Functions that return an eventlog.Statement describe a
// write; the service collects those of one change and commits them together, with the change's log entries.
package store
