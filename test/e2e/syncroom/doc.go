// Package syncroom holds the services sync and room together, as they are in one process, and tests what clients see
// over the real HTTP handlers, on both databases.
package syncroom
