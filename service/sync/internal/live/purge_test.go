package live_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/live"
)

// purged appends the entry that tells of a removal. It takes a position and no sequence number.
func (w *world) purged(room string, p *roompb.Purged) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body, err := proto.Marshal(p)
	require.NoError(w.t, err)
	shard := eventlog.ShardOf(room, shards)
	w.records[shard] = append(w.records[shard], eventlog.Record{
		Shard: shard, Position: int64(len(w.records[shard])) + 1, Name: room, Key: "purged",
		Kind: eventlog.Kind(roompb.EntryKind_ENTRY_KIND_PURGED), Body: body,
	})
}

// TestPurgedEventsLeaveMemory is that the ring forgets precisely what was removed, reaches as far back as before, and that notes are
// read anew.
func TestPurgedEventsLeaveMemory(t *testing.T) {
	w, room := inRoom(t, live.Default()) // times are sequence numbers: alice joined at 1
	for range 4 {
		w.say("!a", "@bob")
	}
	w.applyAll()
	size := w.node.Stats().RingBytes
	p := &past{head: 5, page: 1000}
	p.seqs(t, &room.Notes, 0, 0)
	purges := room.Purges()
	w.purged("!a", &roompb.Purged{BeforeMs: 4, BeforeSeq: 5})
	w.applyAll()
	var seqs []int64
	for _, e := range w.ring(room) {
		seqs = append(seqs, e.Seq)
	}
	require.Equal(t, []int64{1, 4, 5}, seqs)
	require.Less(t, w.node.Stats().RingBytes, size)
	require.NotEqual(t, purges, room.Purges())
	p.gone = map[int64]bool{2: true, 3: true}
	require.Equal(t, []int64{1, 4, 5}, p.seqs(t, &room.Notes, 0, 0))

	w.purged("!a", &roompb.Purged{BeforeMs: 100, BeforeSeq: 5})
	w.applyAll()
	require.Len(t, w.ring(room), 2, "the newest stays")
	w.say("!a", "@bob")
	w.applyAll()
	require.Len(t, w.ring(room), 3)
}

// TestPurgeBetweenReadingAndKeeping is that a ring is not filled with what was read before it was removed.
func TestPurgeBetweenReadingAndKeeping(t *testing.T) {
	w := newWorld(t, live.Default())
	w.member("!a", "@alice", "join")
	w.say("!a", "@bob")
	w.start()
	u := w.attach("@alice")
	change, _ := u.Room("!a")
	old := w.records[eventlog.ShardOf("!a", shards)][1]
	e, err := live.NewEvent(old.Ref, old.Position, old.Seq, old.Doc, &roompb.EventMeta{RoomVersion: "11"})
	require.NoError(t, err)
	fill := func(between func()) {
		require.NoError(t, w.node.Fill(t.Context(), change.Room, func(context.Context, live.Beginning) (*live.Older, error) {
			between()
			return &live.Older{Events: []*live.Event{e}, Floor: 1}, nil
		}))
	}
	fill(func() {
		w.purged("!a", &roompb.Purged{BeforeMs: 100, BeforeSeq: 3})
		w.applyAll()
	})
	require.Nil(t, w.node.Event(change.Room, e.ID))
	fill(func() {})
	require.NotNil(t, w.node.Event(change.Room, e.ID), "without one it is")
}

// TestNotesAfterAHoleAreRead is that a stretch of the past without any notes does not hide those after it.
func TestNotesAfterAHoleAreRead(t *testing.T) {
	_, room := inRoom(t, live.Default())
	p := &past{head: 2000, page: 200, gone: map[int64]bool{}}
	for seq := int64(400); seq < 1700; seq++ {
		p.gone[seq] = true
	}
	want := append(span(1, 399), span(1700, 2000)...)
	require.Equal(t, want, p.seqs(t, &room.Notes, 0, 0))
	read := p.read
	require.Equal(t, want, p.seqs(t, &room.Notes, 0, 0))
	require.Equal(t, read, p.read, "read once")
}

// TestRemovedRoomLeavesMemory is that a room which was removed is none of a user's any more.
func TestRemovedRoomLeavesMemory(t *testing.T) {
	w := newWorld(t, live.Default())
	w.start()
	u := w.attach("@alice")
	w.member("!a", "@alice", "join")
	w.member("!b", "@alice", "join")
	w.member("!a", "@alice", "leave")
	w.applyAll()
	_, ok := u.Room("!a")
	require.True(t, ok)
	w.purged("!a", &roompb.Purged{Room: true})
	w.applyAll()
	_, ok = u.Room("!a")
	require.False(t, ok)
	change, ok := u.Room("!b")
	require.True(t, ok)
	require.NotNil(t, change.Room)
}
