// Package room is the service that owns the room logs: events, state, memberships, aliases, the directory flag and
// public receipts. It calls identity (profiles for member events) and, for invites,
// sync (who takes none), and follows identity's log.
//
// # How a room is written
//
// Operations for a room queue at the room (see operation). Whoever finds the room idle runs the queue: all operations
// in order against one working copy of the room's state, where later ones see earlier ones, and their events
// become one eventlog append that expects the sequence number of the copy. While it is under way further operations
// gather for the next one. When the room has moved on, because another instance wrote to it, it is read again and all
// operations run again, so an operation may run several times and must have no effect but on the working copy. Two
// instances that go on writing to one room take turns (see rivalry). What an operation does
// beside events (aliases) is statements of the same append or, where no event is written, of a transaction of their own.
//
// # How a room is read
//
// Reads go to the database (see reads) and are therefore never older than the request, whoever wrote last. Each begins
// with one look at the room and at the reader; what the reader may see follows from when the room's visibility and their
// membership changed (see perspective) as a few ranges of sequence numbers. These changes are all that reads keep in
// memory: they never change any more, and the look says whether there are newer ones. Everything is in the order of
// seq, which is that of (depth, seq) as long as every event follows the one before it.
//
// # How a room is found
//
// The appends that change what people outside may learn of a room also write its profile, and its place in the directory
// (see profileRows). Who looks for rooms reads these (see preview), and never states.
//
// # How a room's past goes
//
// What has expired, or what an administrator wants removed, goes in batches beside all that is written (see sweep): events that
// are no state events, with their entries, so that sequence numbers have holes, but never the newest. Followers are told when it is
// gone (see tellPurged). A whole room becomes unknown in one transaction, and the rest of it goes in batches (see purgeWhole).
//
// # Invariants
//
//   - The state in memory is a hint. An accepted write is checked by the append itself; a refusal, and an answer without
//     an append, is given only after the sequence number in memory was compared with the stored one.
//   - A transaction id is stored with what it stands for. A repetition is answered what the first was, also when it
//     would be refused by now.
//   - Every event is a real PDU, authorised by the rules of its room's version against the state before it.
//   - Sending a message reads nothing and copies nothing that grows with the room.
package room
