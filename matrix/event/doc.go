// Package event holds room events as servers keep and sign them: PDUs of room versions 6 to 12
// (server-server API, "PDUs"; rooms/v6 to rooms/v12). It builds, hashes and signs them, reads them
// back, redacts them by the rules of their room's version, and writes them as clients see them.
//
// An Event does not change once it exists and may be shared by any number of goroutines. What
// versions 1 to 5 do otherwise would be further columns of the table in version.go.
package event
