package lease

import "strings"

// suffix ends the names of the tables of leases.
const suffix = "_lease"

// IsTable tells by its name whether a table holds leases. They are of the instances of one database, and mean nothing in
// a copy of it: nobody there would ever give back one that a single process has for good.
func IsTable(name string) bool { return strings.HasSuffix(name, suffix) }
