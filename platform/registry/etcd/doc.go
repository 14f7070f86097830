// Package etcd is the registry in etcd 3.4 or newer.
//
// A record is the JSON of a registry.Instance under PREFIX/instances/SERVICE/BOOTID, bound to the one lease of its process.
// Two goroutines work for each registry: one keeps the lease alive and writes what is not there as it should be, the other
// follows the records of all. Whatever happened to etcd in between, gone, wiped, restored from a backup, full, they compare
// what is there with what should be and mend the difference; so nobody else has to know.
package etcd
