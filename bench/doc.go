// Package bench is the load generator behind `hongyan bench`. It drives any Matrix homeserver through its public
// client-server API: users in pairs, one large group, or idle, all of them on /sync. It counts what was
// accepted and delivered, measures latencies, and checks every delivery: nothing lost, nothing twice, and one
// order of a room's messages for everybody.
//
// The generator shares the machine with the server that it measures, so it is frugal: one connection for each
// poll, bodies scanned rather than decoded, one goroutine a user and one a sender.
package bench
