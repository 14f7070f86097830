package live_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	syncpb "hongyan/api/sync"
	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/live"
)

func dataRecord(t *testing.T, user string, position int64, room, eventType, content string) eventlog.Record {
	body, err := proto.Marshal(&syncpb.AccountData{RoomId: room, Type: eventType, Content: []byte(content)})
	require.NoError(t, err)
	return eventlog.Record{
		Shard: eventlog.ShardOf(user, shards), Position: position, Name: user,
		Kind: eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_ACCOUNT_DATA), Body: body,
	}
}

func markRecord(t *testing.T, user string, position, seq int64) eventlog.Record {
	body, err := proto.Marshal(&syncpb.ReadMark{RoomId: "!a", ReceiptType: "m.read", EventId: "$e", EventSeq: seq})
	require.NoError(t, err)
	return eventlog.Record{
		Position: position, Name: user, Kind: eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_READ_MARK), Body: body,
	}
}

// A newer version next to this one may write kinds of entries that this one does not know.
func TestUnknownKindsOfTheUserLogAreSkipped(t *testing.T) {
	w := newWorld(t, live.Default())
	const user = "@alice"
	u := w.start().attach(user)
	shard := eventlog.ShardOf(user, shards)
	newer := eventlog.Record{Shard: shard, Position: 1, Name: user, Kind: 99, Body: []byte("of a newer version")}
	known := dataRecord(t, user, 2, "", live.TypeIgnoredUsers, `{"known":1}`)
	require.NoError(t, w.node.ApplyUsers(context.Background(), shard, []eventlog.Record{newer, known}, known.Position))
	entries, ok := u.Entries(0, 2)
	require.True(t, ok)
	require.Len(t, entries, 1)
	require.EqualValues(t, 2, entries[0].Position)
}

func TestUserLogIsReadFromMemoryAsFarAsItReaches(t *testing.T) {
	cfg := live.Default()
	cfg.UserEntries = 3
	w := newWorld(t, cfg)
	const user = "@alice"
	w.entries[user] = []eventlog.Record{dataRecord(t, user, 0, "", live.TypeIgnoredUsers, `{"old":1}`)}
	u := w.start().attach(user)
	shard := eventlog.ShardOf(user, shards)
	apply := func(records ...eventlog.Record) {
		require.NoError(t, w.node.ApplyUsers(context.Background(), shard, records, records[len(records)-1].Position))
	}
	version := func() any { return u.Derive(func(p map[string][]byte) any { return string(p[live.TypeIgnoredUsers]) }) }
	require.Equal(t, `{"old":1}`, version())
	for p := int64(1); p <= 5; p++ {
		apply(dataRecord(t, user, p, "", fmt.Sprint("type", p), `{}`))
	}
	_, ok := u.Entries(1, 5)
	require.False(t, ok, "it does not reach back so far")
	entries, ok := u.Entries(2, 4)
	require.True(t, ok)
	require.Len(t, entries, 2)
	entries, ok = u.Entries(5, 9)
	require.True(t, ok)
	require.Empty(t, entries)
	apply(dataRecord(t, user, 6, "", "type4", `{"n":2}`), dataRecord(t, user, 6, "!a", "type5", `{}`))
	entries, ok = u.Entries(3, 9)
	require.True(t, ok, "a next version takes no place")
	require.Len(t, entries, 3)
	require.Equal(t, []int64{5, 6, 6}, []int64{entries[0].Position, entries[1].Position, entries[2].Position})
	apply(dataRecord(t, user, 6, "", live.TypeIgnoredUsers, `{"new":1}`))
	require.Equal(t, `{"new":1}`, version())

	require.Empty(t, u.Marks("!a"))
	apply(markRecord(t, user, 7, 10))
	before := u.Marks("!a")
	apply(markRecord(t, user, 8, 9))
	require.EqualValues(t, 10, u.Marks("!a")[0].EventSeq, "marks only move forward")
	apply(markRecord(t, user, 9, 11))
	require.EqualValues(t, 11, u.Marks("!a")[0].EventSeq)
	require.EqualValues(t, 10, before[0].EventSeq, "a list that was handed out does not change")

	held := u.Marks("!a")
	for seq := range int64(5000) {
		apply(threadRecord(t, user, 10+seq, 12+seq))
	}
	require.Len(t, held, 1)
	now := u.Marks("!a")
	require.Len(t, now, 4096, "of many threads those that were read last are known")
	require.EqualValues(t, 11, now[0].EventSeq, "and what is in no thread")
	require.True(t, slices.ContainsFunc(now, func(m *syncpb.ReadMark) bool { return m.EventSeq == 12+4999 }))
}

// threadRecord is a mark in a thread of its own.
func threadRecord(t *testing.T, user string, position, seq int64) eventlog.Record {
	body, err := proto.Marshal(&syncpb.ReadMark{RoomId: "!a", ReceiptType: "m.read", ThreadId: fmt.Sprint("$", seq), EventId: "$e", EventSeq: seq})
	require.NoError(t, err)
	return eventlog.Record{
		Position: position, Name: user, Kind: eventlog.Kind(syncpb.EntryKind_ENTRY_KIND_READ_MARK), Body: body,
	}
}
