// Package userlog keeps what belongs to a user and not to a room, in the log "sync" of platform/eventlog: account data,
// how far the user has read, and filters. A user is a stream; every entry is latest-wins, so the log has one row for
// each thing. Entries are decoded by package live.
package userlog
