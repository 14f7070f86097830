// Package blob keeps bytes that are too large for a database. A [Store] is a folder of files (blob/disk) or a bucket of an
// object store (blob/s3); blob/blobtest holds both to the same behaviour.
//
// A blob is written once, under a key of its owner's choice, and never changes. Who is the owner keeps, in a database, which
// keys there are: a key is written down before its blob is put, so that what a crash leaves behind can be found
// without looking through the store, and is never used again after Delete.
package blob
