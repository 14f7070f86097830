// Package lease lets one of a service's instances at a time do what all of them could: a row in the service's own database says
// who it is and until when.
//
// The holder renews its lease well before it ends. One that dies or hangs is followed by another instance when the lease has
// run out, 3 s by default; one that stops gives it back. The database's clock decides, so that those of the instances
// do not matter.
//
// A lease spares work, it excludes nobody: an instance that was paused may go on for a moment beside its successor. What
// is done under a lease must therefore be harmless when done twice, or ask Term.Held at the moment that matters.
//
// A SQLite file belongs to one process, and a write to it waits for the disk. There a lease does not run out, an instance that
// comes later takes it over, and renewing it only reads.
package lease
