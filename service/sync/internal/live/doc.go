// Package live is what a sync node knows without asking anybody: the rooms that connected users are joined to, each with
// its newest events encoded once for all readers, and the connected users, each with an index of their rooms.
//
// A [Node] is fed with the room log and the user log, shard by shard and in order. What it has applied is its cut: a
// reader takes a cut first and then looks at what changed up to it, so a token made from a cut never runs ahead of what
// was shown. It holds because of the order in which a shard applies: change rooms and users, then advance the shard's
// position, then wake.
//
// Locks are taken in the order shard, user. Nothing is called from outside while one is held.
//
// A user's index knows, for every room that the user has to do with, the position of its newest change: from the
// database when the user is loaded, from the log afterwards. So any token, however old, is answered by one look at the
// index, and rooms without news cost nothing. What the rings of events do not reach back to, the caller reads from
// the service that owns the rooms.
//
// Everything is bounded: rings in count and, over the node, in bytes; users leave memory some time after their last
// request, and rooms when no user in memory is joined to them.
package live
