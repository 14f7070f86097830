package live_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	roompb "hongyan/api/room"
	"hongyan/service/sync/internal/live"
)

// past is a room's past as its owner tells of it.
type past struct {
	head int64
	// read counts the notes that were asked for; page is how many one answer has at most.
	read, page int64
	err        error
	// gone are those that were purged.
	gone map[int64]bool
}

func (p *past) notes(_ context.Context, after, through int64) (notes []*live.Note, end int64, more bool, err error) {
	for seq := after + 1; seq <= min(through, p.head); seq++ {
		if p.gone[seq] {
			continue
		}
		if int64(len(notes)) == p.page {
			return notes, notes[len(notes)-1].Seq, true, nil
		}
		p.read++
		notes = append(notes, live.NewNote(seq, 10*seq, false, &roompb.Note{Sender: "@a"}))
	}
	return notes, min(through, p.head), false, p.err
}

// seqs reads sequence numbers of a room's past.
func (p *past) seqs(t *testing.T, n *live.Notes, after, through int64) (seqs []int64) {
	t.Helper()
	require.NoError(t, n.Each(t.Context(), after, through, p.notes, func(note *live.Note) (bool, error) {
		seqs = append(seqs, note.Seq)
		return true, nil
	}))
	return seqs
}

func span(first, last int64) (seqs []int64) {
	for seq := first; seq <= last; seq++ {
		seqs = append(seqs, seq)
	}
	return seqs
}

// inRoom is a room in memory, with alice in it.
func inRoom(t *testing.T, cfg live.Config) (*world, *live.Room) {
	w := newWorld(t, cfg)
	w.start()
	u := w.attach("@alice")
	w.member("!a", "@alice", "join")
	w.applyAll()
	change, _ := u.Room("!a")
	return w, change.Room
}

func TestNotesOfThePastAreReadOnce(t *testing.T) {
	w, room := inRoom(t, live.Default())
	p := &past{head: 1300, page: 200}
	require.Equal(t, span(1, 1300), p.seqs(t, &room.Notes, 0, 0))
	require.Equal(t, int64(1300), p.read)
	require.Equal(t, span(700, 900), p.seqs(t, &room.Notes, 699, 900))
	require.Equal(t, span(1, 512), p.seqs(t, &room.Notes, 0, 512))
	require.Equal(t, span(513, 1024), p.seqs(t, &room.Notes, 512, 1024))
	require.Empty(t, p.seqs(t, &room.Notes, 1300, 0))
	require.Empty(t, p.seqs(t, &room.Notes, 5000, 0))
	require.Equal(t, int64(1300), p.read)
	p.head = 1310
	require.Equal(t, span(1200, 1310), p.seqs(t, &room.Notes, 1199, 0))
	require.Equal(t, int64(1310), p.read, "only what came since is read")
	require.GreaterOrEqual(t, w.node.Stats().NoteBytes, int64(1310*200))

	w.member("!a", "@alice", "leave")
	w.applyAll()
	require.Zero(t, w.node.Stats().NoteBytes)
	require.Equal(t, span(1, 1310), p.seqs(t, &room.Notes, 0, 0), "who still holds the room reads for themselves")
	require.Zero(t, w.node.Stats().NoteBytes)
}

func TestNotesEndWhereTheyShould(t *testing.T) {
	_, room := inRoom(t, live.Default())
	p := &past{head: 600, page: 1000}
	var seen int
	require.NoError(t, room.Notes.Each(t.Context(), 0, 0, p.notes, func(*live.Note) (bool, error) {
		seen++
		return seen < 5, nil
	}))
	require.Equal(t, 5, seen)
	p.err = errors.New("away")
	p.head = 2000
	require.ErrorIs(t, room.Notes.Each(t.Context(), 512, 0, p.notes, func(*live.Note) (bool, error) { return true, nil }), p.err)
	p.err = nil
	require.Equal(t, span(513, 2000), p.seqs(t, &room.Notes, 512, 0))
}

func TestARedactionOutdatesNotes(t *testing.T) {
	w, room := inRoom(t, live.Default())
	p := &past{head: 100, page: 1000}
	p.seqs(t, &room.Notes, 0, 0)
	w.redact("!a", "$x")
	w.applyAll()
	p.seqs(t, &room.Notes, 0, 0)
	require.Equal(t, int64(200), p.read)

	// One that comes while notes are being read outdates what was read.
	slow := func(ctx context.Context, after, through int64) ([]*live.Note, int64, bool, error) {
		notes, end, more, err := p.notes(ctx, after, through)
		w.redact("!a", "$y")
		w.applyAll()
		return notes, end, more, err
	}
	p.head = 110
	require.NoError(t, room.Notes.Each(t.Context(), 0, 0, slow, func(*live.Note) (bool, error) { return true, nil }))
	before := p.read
	p.seqs(t, &room.Notes, 0, 0)
	require.Greater(t, p.read, before)
}

func TestNotesStayWithinTheirBound(t *testing.T) {
	cfg := live.Default()
	cfg.NoteBytes = 512 * 210
	w, room := inRoom(t, cfg)
	p := &past{head: 5000, page: 1000}
	for range 2 {
		require.Equal(t, span(1, 5000), p.seqs(t, &room.Notes, 0, 0))
		require.LessOrEqual(t, w.node.Stats().NoteBytes, cfg.NoteBytes)
		require.NotZero(t, w.node.Stats().NoteBytes)
	}
	w.node.Sweep()
	require.NotZero(t, w.node.Stats().NoteBytes, "they were asked for")
	w.node.Sweep()
	require.Zero(t, w.node.Stats().NoteBytes)
}
