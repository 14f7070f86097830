// Package discovery tells programs outside which instances there are.
//
// [Handler] answers GET /discovery/http_sd in the shape that Prometheus reads. [DNS] is an authoritative name server of one
// zone for load balancers that find their servers by SRV records. Both read a process's registry.Directory: what
// they say stays as it was while the registry is away. docs/discovery.md has the names and examples.
package discovery
