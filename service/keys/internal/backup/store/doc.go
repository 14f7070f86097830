// Package store keeps the backups of room keys: versions, and the keys in them.
//
// Whatever writes for a user locks the user's row of backup_owner first, so that the count, the size and the etag of a
// version say exactly what is in it. Which of two keys of a session stays is decided by the statement that stores it.
//
// The keys of a version are a set with a number. A version that is deleted or emptied loses its set at once, whatever is in
// it; Collect removes the keys of such sets later, a bounded number at a time.
package store
