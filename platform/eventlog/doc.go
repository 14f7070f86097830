// Package eventlog is the one log on which the services stand that keep what was acknowledged.
//
// A log is a fixed number of shards; entries are only ever added at a shard's end, where they take its
// positions, from 1, none of which is left out or given twice. A log consists of streams (a room, a user);
// a stream lives in one shard, chosen by ShardOf its name, and gives out a sequence of its own in the same
// way. An entry without a key takes the next sequence number of its stream and the next position of its
// shard, and stays unless its owner removes it (Remove), which leaves both empty for ever. An entry with a
// key is latest-wins: it takes a position but no sequence number, and the next entry of the same stream and
// key replaces it, so that its old position becomes empty. Positions and sequence numbers therefore have
// holes: readers read ranges "through p", and never count entries nor expect one at a given number.
//
// # Invariants
//
//   - An Append with Expect ≥ 0 is written only if the stream's sequence still is Expect: what was checked
//     before the append is still true when it is written. One with Expect AnySeq only increments.
//   - A batch of appends of different streams is one transaction and, on PostgreSQL, one round trip. A
//     stream that lost its swap does not hold up the others.
//   - Positions become visible in order: whoever reads position p has been able to read all before it.
//   - A transaction id is written with what it stands for; the second append with it writes nothing and
//     returns the first one's response.
//   - When an outcome is unknown (the connection was lost in the commit), the same append is repeated; it is
//     recognised by its entries' refs and its transaction ids, all of them, and never written twice.
//   - What Append acknowledged is on disk: SQLite WAL with synchronous=FULL, PostgreSQL synchronous_commit=on.
package eventlog
