// Package logrpc lets a service's log be followed from other processes. Server offers it as hongyan.log.v1.Log; Remote is
// such a log as a source of eventlog.Follower; Waker and Subscribe carry the wake-ups over the bus, whose subjects nobody
// else needs to know: log.NAME.SHARD, with the shard's head as a decimal number.
package logrpc
