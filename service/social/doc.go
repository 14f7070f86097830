// Package social is the service that knows who there is: the user directory, by which people find each other.
//
// It owns a database with what it needs of the logs that it follows: of identity's log whom there is to be found and by what, of the room
// log who is joined where and which rooms are public. It asks identity for accounts and profiles that have changed, and sync
// whom a user ignores, who then does not find them. One of the instances follows each log for all; every instance answers.
//
// # The user directory
//
// Somebody is found by those who share a room with them and, where they are joined to a public room, by everybody. A room is
// public where its join rule is "public" or its history "world_readable", as the specification has it; that it is listed in
// the room directory alone makes nobody visible. Config.DirectoryAllUsers lets everybody find everybody. Who is deactivated or locked
// is not found, and guests neither find nor are found. Names are those of profiles, never those of single rooms.
//
// # Invariants
//
//   - A page of a log and its cursor are one transaction, which fails where another instance was quicker: each page is taken in
//     once, in order.
//   - What is of a shard goes before the shard is followed from its beginning, and everything of a log with another epoch: what
//     is here is never of a log that is no more.
//   - A search waits, a second at most, until what had been acknowledged before it is taken in.
//   - What a search costs is bounded: see directory_search.go and the store.
package social
