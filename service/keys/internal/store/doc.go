// Package store keeps the tables of the service keys, one file each, besides those of its logs: devices, their keys,
// one-time keys, fallback keys, cross-signing keys and signatures. What changes them is given as statements of an append to one
// of the logs, so that a change and the entry that tells of it are one transaction.
package store
