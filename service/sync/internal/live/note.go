package live

import (
	"context"
	"sync"
	"sync/atomic"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/pushrules"
)

// Note is what is noted of an event: what unread events are counted by. It does not change.
type Note struct {
	Seq, Position int64
	// Thread is the root of the event's thread; empty for the main timeline.
	Thread string
	// Redacts is the sequence number of the event that this one redacts.
	Redacts int64
	// Redacted tells that the event itself was redacted when the note was read.
	Redacted bool
	pushrules.Outline
}

// size is about what the note occupies, in bytes.
func (n *Note) size() int64 {
	size := 200 + len(n.Type)
	for _, user := range n.Mentioned {
		size += 16 + len(user)
	}
	return int64(size + 64*len(n.Levels))
}

// NewNote decodes a note; nil where the event has none.
func NewNote(seq, position int64, redacted bool, n *roompb.Note) *Note {
	if n == nil {
		return nil
	}
	return &Note{
		Seq: seq, Position: position, Thread: n.Thread, Redacts: n.RedactsSeq, Redacted: redacted,
		Outline: pushrules.Outline{
			Sender: matrix.UserID(n.Sender), Facts: pushrules.Facts(n.Facts), Type: n.Type,
			Words: pushrules.ParseWords(n.Words), Mentioned: n.Mentioned,
			Members: int(n.Members), Power: n.Power, Levels: n.Levels,
		},
	}
}

// chunkNotes is how many notes are read and kept together.
const chunkNotes = 512

// Notes are notes of a room's past, read once for all of its readers and kept while there is room.
type Notes struct {
	// total counts the bytes of all rooms' notes, which are not to be more than limit.
	total *atomic.Int64
	limit int64

	mu     sync.Mutex
	chunks map[int64]*chunk
	// version counts redactions: what was read before one may be outdated.
	version uint64
	used    bool
}

// chunk holds the notes with sequence numbers in (index*chunkNotes, (index+1)*chunkNotes], up to end.
type chunk struct {
	// turn holds one token, of who reads on.
	turn  chan struct{}
	end   int64
	bytes int64
	notes []*Note
}

// ReadNotes reads notes in (after, through], oldest first, and up to where they are all there are: short of through where the room
// has no newer events, and where more tells that there are more. Events that were purged have no notes.
type ReadNotes func(ctx context.Context, after, through int64) (notes []*Note, end int64, more bool, err error)

// Each calls f with the notes in (after, through], oldest first, until it returns false. A through of 0 is the newest.
func (n *Notes) Each(ctx context.Context, after, through int64, read ReadNotes, f func(*Note) (bool, error)) error {
	for {
		index := after / chunkNotes
		last := (index + 1) * chunkNotes
		if through > 0 {
			last = min(last, through)
		}
		notes, end, err := n.get(ctx, index, last, read)
		if err != nil {
			return err
		}
		for _, note := range notes {
			if note.Seq <= after || note.Seq > last {
				continue
			}
			if ok, err := f(note); !ok || err != nil {
				return err
			}
		}
		if end < last || last == through {
			return nil
		}
		after = last
	}
}

// get returns a chunk's notes up to last, or as far as there are any, and up to where that is.
func (n *Notes) get(ctx context.Context, index, last int64, read ReadNotes) (notes []*Note, end int64, err error) {
	c := n.chunk(index)
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	n.mu.Lock()
	version := n.version
	notes, end = c.notes, c.end
	n.mu.Unlock()
	full := (index + 1) * chunkNotes
	for more := true; more && end < last; {
		var further []*Note
		var to int64
		if further, to, more, err = read(ctx, end, full); err != nil {
			return nil, 0, err
		}
		notes = append(notes[:len(notes):len(notes)], further...)
		end = max(end, to)
	}
	n.keep(index, c, version, notes, end)
	return notes, end, nil
}

func (n *Notes) chunk(index int64) *chunk {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.used = true
	c := n.chunks[index]
	if c == nil {
		c = &chunk{turn: make(chan struct{}, 1), end: index * chunkNotes}
		if n.chunks == nil {
			n.chunks = map[int64]*chunk{}
		}
		n.chunks[index] = c
	}
	return c
}

// keep keeps what was read where it is not outdated and there is room for it.
func (n *Notes) keep(index int64, c *chunk, version uint64, notes []*Note, end int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	grown := int64(0)
	for _, note := range notes[min(len(c.notes), len(notes)):] {
		grown += note.size()
	}
	switch {
	case n.chunks[index] != c || n.total == nil:
	case version != n.version || n.total.Load()+grown > n.limit:
		if len(c.notes) == 0 {
			delete(n.chunks, index)
		}
	default:
		c.notes, c.end = notes, end
		c.bytes += grown
		n.total.Add(grown)
	}
}

// redact forgets what a redaction has changed.
func (n *Notes) redact(because *Note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version++
	if because == nil {
		n.forget()
		return
	}
	if because.Redacts == 0 {
		return
	}
	index := (because.Redacts - 1) / chunkNotes
	if c := n.chunks[index]; c != nil {
		n.drop(index, c)
	}
}

// purge forgets notes through a sequence number: of some there are no events any more.
func (n *Notes) purge(through int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version++
	for index, c := range n.chunks {
		if index*chunkNotes < through {
			n.drop(index, c)
		}
	}
}

func (n *Notes) drop(index int64, c *chunk) {
	delete(n.chunks, index)
	n.total.Add(-c.bytes)
}

// forget forgets all. The lock is held.
func (n *Notes) forget() {
	for index, c := range n.chunks {
		n.drop(index, c)
	}
}

// leave forgets all, of a room that leaves memory.
func (n *Notes) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.version++
	n.forget()
	n.limit = -1
}

// age forgets all that was not asked for since it was called last.
func (n *Notes) age() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.used {
		n.forget()
	}
	n.used = false
}
