// Package matrix is the Matrix protocol as pure Go: identifiers and the one API error.
// Its sub-packages hold events, sync tokens, filters and push rules. Nothing below
// this package does I/O or reads a clock, and it imports no other package of the project.
package matrix
