// Package registry is how instances find each other.
//
// A process registers each of its services as an [Instance] under one lease and watches the services it calls. The
// registry is a hint, never a dependency: callers ask their [Directory], a local copy that an empty, lost or wiped
// registry never empties. [Assign] and [Owner] say which instance owns a shard; every caller finds the same.
//
// registry/memory is the registry of one process, registry/etcd and registry/zookeeper are those of many; registry/registrytest
// holds all of them to one behaviour. docs/discovery.md has the records for programs that are not ours.
package registry
