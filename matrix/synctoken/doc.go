// Package synctoken is the one alphabet of positions that clients hold: next_batch, prev_batch,
// start and end, in /sync, /messages, /relations, /members?at and /keys/changes.
//
// A token is a cut through the logs: everything up to its positions was applied before it was
// issued, nothing after. It survives restarts, other instances and a move to another database.
// It carries the epoch of each log, so that a position is never read against a log that was
// restored from a backup, and a checksum, so that a damaged token is refused rather than
// misread. It is no secret and no permission: a client may read and make tokens, and gains
// nothing by it.
//
// The encoding is base64url without padding of: the format version; a byte of flags; the three
// epochs, the wall-clock, the sync, keys and device-list positions; the number of room shards and
// for each, ascending, the distance to the one before and its position; with the point flag the
// point's seq and depth; with the typing flag when the client was last told that somebody types;
// and four bytes of CRC-32C over all that. Numbers are unsigned varints.
package synctoken
