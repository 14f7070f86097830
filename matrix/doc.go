// Package matrix is the Matrix protocol as pure Go: identifiers and the one API error. Nothing
// here or below does I/O or reads a clock, and it imports no other package of the project.
//
//	canonicaljson  the one encoding that is signed and hashed, and the check of what clients send
//	event          PDUs: build, hash, sign, parse, redact, and write as clients see them
//	auth           the authorisation rules of room versions 6 to 12, and power levels
//	synctoken      the positions that clients hold
//	filter         what clients let through
//	serveracl      which servers may take part in a room
//	pushrules      which events notify whom
package matrix
