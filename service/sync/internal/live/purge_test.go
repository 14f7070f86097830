package live_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
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

// TestPurgedEventsLeaveMemory is that the ring forgets what may have been removed, knows all after its floor then, since of what an
// entry names some may still be there, and that notes of that time are read anew and no others.
func TestPurgedEventsLeaveMemory(t *testing.T) {
	w, room := inRoom(t, live.Default()) // times and positions are sequence numbers: alice joined at 1
	for range 4 {
		w.say("!a", "@bob")
	}
	w.applyAll()
	after := func(position int64) (seqs []int64, covered bool) {
		var r live.Range
		w.node.Range(room, position, 100, &r)
		for _, e := range r.Events {
			seqs = append(seqs, e.Seq)
		}
		return seqs, r.Covered
	}
	size := w.node.Stats().RingBytes
	p := &past{head: 5, page: 1000}
	p.seqs(t, &room.Notes, 0, 0)
	purges := room.Purges()
	w.purged("!a", &roompb.Purged{BeforeMs: 4, BeforeSeq: 5})
	w.applyAll()
	_, covered := after(2)
	require.False(t, covered, "who had seen 2 has 3 looked up")
	seqs, covered := after(3)
	require.True(t, covered)
	require.Equal(t, []int64{4, 5}, seqs)
	require.Equal(t, int64(4), room.PurgedThrough())
	require.Less(t, w.node.Stats().RingBytes, size)
	require.NotEqual(t, purges, room.Purges())
	p.gone = map[int64]bool{2: true, 3: true}
	require.Equal(t, []int64{1, 4, 5}, p.seqs(t, &room.Notes, 0, 0))

	w.purged("!a", &roompb.Purged{BeforeMs: 100, BeforeSeq: 5})
	w.purged("!a", &roompb.Purged{BeforeMs: 1, BeforeSeq: 3})
	w.say("!a", "@bob")
	w.applyAll()
	seqs, covered = after(4)
	require.True(t, covered)
	require.Equal(t, []int64{5, 6}, seqs, "what is behind stays")
	require.Equal(t, int64(4), room.PurgedThrough(), "an older one takes nothing back")
}

// TestNotesBehindAPurgeStay is that only the notes of the time of which something was removed are read again.
func TestNotesBehindAPurgeStay(t *testing.T) {
	w, room := inRoom(t, live.Default())
	p := &past{head: 1500, page: 2000}
	p.seqs(t, &room.Notes, 0, 0)
	read := p.read
	w.purged("!a", &roompb.Purged{BeforeMs: 100, BeforeSeq: 401})
	w.applyAll()
	p.gone = map[int64]bool{400: true}
	want := append(span(1, 399), span(401, 1500)...)
	require.Equal(t, want, p.seqs(t, &room.Notes, 0, 0))
	require.Equal(t, read+511, p.read)
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

// TestRemovedRoomIsLeft is that nobody is in a room which was removed, and that those hear of it who have not heard that they left: the
// events by which they did may be gone before this node reads them.
func TestRemovedRoomIsLeft(t *testing.T) {
	w := newWorld(t, live.Default())
	w.start()
	alice, bob := w.attach("@alice"), w.attach("@bob")
	w.member("!a", "@alice", "join")
	w.member("!b", "@alice", "join")
	w.member("!a", "@bob", "join")
	w.member("!a", "@alice", "leave")
	w.applyAll()
	knew, _ := alice.Room("!a")
	wait := bob.Wait()
	defer wait.Close()
	w.purged("!a", &roompb.Purged{Room: true})
	w.applyAll()
	change, ok := alice.Room("!a")
	require.True(t, ok)
	require.Equal(t, knew, change, "had left before")
	change, _ = bob.Room("!a")
	require.Equal(t, event.Leave, change.Membership)
	require.Nil(t, change.Room)
	require.Equal(t, int64(4), change.Position)
	require.Equal(t, int64(4), change.Newest)
	require.Len(t, wait.C, 1, "bob is woken")
	change, _ = alice.Room("!b")
	require.NotNil(t, change.Room)
}

// TestPurgeWhileLoading is that what was removed between a look at the database and the user's coming into memory is not taken for still
// there, though nobody else had the room in memory.
func TestPurgeWhileLoading(t *testing.T) {
	w := newWorld(t, live.Default())
	for _, user := range []string{"@alice", "@bob"} {
		w.member("!a", user, "join")
		w.member("!b", user, "join")
	}
	w.say("!a", "@bob")
	w.start()
	w.asked = func() {
		w.asked = nil
		w.purged("!a", &roompb.Purged{BeforeMs: 100, BeforeSeq: 3})
		w.applyAll()
	}
	alice := w.attach("@alice")
	a, _ := alice.Room("!a")
	require.GreaterOrEqual(t, a.LoadedPurged, int64(2))
	b, _ := alice.Room("!b")
	require.Zero(t, b.LoadedPurged)
	bob := w.attach("@bob")
	a, _ = bob.Room("!a")
	require.Zero(t, a.LoadedPurged, "the database tells it")
}
