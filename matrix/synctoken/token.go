package synctoken

import (
	"cmp"
	"hash/fnv"
	"math/bits"
	"slices"
)

// MaxShards bounds the shard numbers that a token can hold.
const MaxShards = 4096

// Token is a position of a client in all logs. The zero value is the beginning of everything.
type Token struct {
	// RoomEpoch, SyncEpoch and KeysEpoch are the epochs of the logs of room, sync and keys. A
	// position from another epoch says nothing about the log as it is.
	RoomEpoch, SyncEpoch, KeysEpoch uint64
	// Millis is the wall-clock when the token was issued, in milliseconds since 1970: the position
	// in what is only kept in memory, typing and presence.
	Millis int64
	// Typing is when the client was last told that somebody types, in milliseconds since 1970; 0 if that was so long
	// ago that it was told the end since. Whoever does not remember what was told then tells the lists again.
	Typing int64
	// Sync is the position in the user's shard of the sync log: account data, private receipts.
	Sync int64
	// Keys is the position in the user's shard of the keys log: to-device messages, one-time keys.
	Keys int64
	// DeviceLists is the position in the log of device-list changes.
	DeviceLists int64
	// Rooms are positions in shards of the room log, ascending by shard. A shard that is missing
	// held no room of the user.
	Rooms []ShardPosition
	// Point, where present, is a place within one room's history, for paging.
	Point *Point
}

// ShardPosition is a position in one shard of the room log.
type ShardPosition struct {
	Shard    int
	Position int64
}

// Point is the place between two neighbouring events of a room. It has no direction: paging
// backwards from it gives the event at it and those before, paging forwards those after.
type Point struct {
	// Seq is the room's seq of the event just before the place; 0 is before the first.
	Seq int64
	// Depth is the depth of that event, where the order is by depth; else 0.
	Depth int64
}

// Room returns the position in a shard of the room log; ok is false where the token has none.
func (t *Token) Room(shard int) (position int64, ok bool) {
	i, ok := t.find(shard)
	if !ok {
		return 0, false
	}
	return t.Rooms[i].Position, true
}

// SetRoom sets the position in a shard of the room log. Tokens that were copied from this one
// before may share the change: see Clone.
func (t *Token) SetRoom(shard int, position int64) {
	i, ok := t.find(shard)
	if ok {
		t.Rooms[i].Position = position
		return
	}
	t.Rooms = slices.Insert(t.Rooms, i, ShardPosition{Shard: shard, Position: position})
}

// Clone returns a copy that shares nothing with t.
func (t Token) Clone() Token {
	t.Rooms = slices.Clone(t.Rooms)
	if t.Point != nil {
		p := *t.Point
		t.Point = &p
	}
	return t
}

// KeysEpoch is the epoch of the two logs of keys together, of the users and of device lists: another one if either is.
func KeysEpoch(users, deviceLists uint64) uint64 { return users ^ bits.RotateLeft64(deviceLists, 32) }

// OfDevice is what stands for an epoch of the logs of keys in the tokens of one device. A token that comes back tells that the device
// has got the messages to it: another device's must not.
func OfDevice(keysEpoch uint64, deviceID string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(deviceID)) // never fails
	return keysEpoch ^ h.Sum64()
}

// At returns a token for a place in one room: its shard's position, where the token has one, and
// the point. Everything else but epochs and wall-clock is left out.
func (t Token) At(shard int, p Point) Token {
	at := Token{RoomEpoch: t.RoomEpoch, SyncEpoch: t.SyncEpoch, KeysEpoch: t.KeysEpoch, Millis: t.Millis, Point: &p}
	if position, ok := t.Room(shard); ok {
		at.Rooms = []ShardPosition{{Shard: shard, Position: position}}
	}
	return at
}

func (t *Token) find(shard int) (int, bool) {
	return slices.BinarySearchFunc(t.Rooms, shard, func(p ShardPosition, shard int) int {
		return cmp.Compare(p.Shard, shard)
	})
}
