// Package disk keeps blobs as files: a blob of key abcdef… is ROOT/ab/cd/abcdef…, and ROOT/tmp/abcdef… while it is written.
// Several processes may use one folder, also over a network, if its renames are atomic.
package disk
