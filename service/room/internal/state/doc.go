// Package state holds the state of a room in memory: immutable values that share what they have in common, so that
// a change of a room of 10,000 members copies a few hundred bytes and a reader never waits for a writer.
//
// Members are kept apart from all other state, and small: what they say is in the database, what they are is here.
package state
