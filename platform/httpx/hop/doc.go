// Package hop is the trusted hop over the network: how the gateway reaches the instances of a service, and how a service
// in its own process takes what the gateway sends.
//
// [Cluster] gives one http.RoundTripper a service, which finds the instances in the registry's Directory: the owner of the
// request's key, else the less busy of two. It sends over HTTP/2 on connections of its own, notices a hung instance
// within 2 s by pings, and repeats on another instance what was never sent and what may be repeated. [Server] is the
// other end: a listener that refuses, before any handler runs, while its process starts or drains.
//
// # Invariants
//
//   - A request that is marked once, or is idempotent neither by its method nor by a mark, is sent again only
//     when it is certain that no handler saw it: nothing of it was written, or the instance said so.
//   - A request of whose answer anything was handed on is never repeated. Small answers are read whole before.
//   - What a failure can multiply is bounded: attempts a request, a budget of repeats, waiting requests, and the memory
//     that keeps bodies for a repeat.
package hop
