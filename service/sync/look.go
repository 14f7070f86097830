package sync

import (
	"context"
	"fmt"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
	"hongyan/service/sync/internal/live"
)

// look looks at events of a room in their order and says what each is to the user.
type look struct {
	a    *answer
	c    *live.Change
	n    *counter
	take func(*found)

	// waiting are events that were judged, or have to be judged by themselves: unknown counts these.
	waiting []found
	unknown int
}

// found is what an event is to a user.
type found struct {
	seq    int64
	thread string
	// own tells that the user sent the event, and has read up to it.
	own               bool
	notify, highlight bool
	// redacts is the sequence number of an event that it redacts.
	redacts int64
	// note is set where the event itself must be looked at.
	note *live.Note
}

// maxWaiting and maxUnknown bound what waits, in events.
const (
	maxWaiting = 4096
	maxUnknown = 256
)

func (l *look) roomID() matrix.RoomID { return matrix.RoomID(l.c.RoomID) }

// events looks at the events after a sequence number through another one, 0 for none, and no further than the answer's cut.
func (l *look) events(ctx context.Context, after, through int64) error {
	var ring []*live.Event
	covered := false
	if l.c.Room != nil {
		ring, covered = l.a.node.Since(l.c.Room, after, l.a.through(l.c))
	}
	ring, complete := noted(ring)
	if !covered || !complete {
		end := through
		if len(ring) > 0 {
			end = ring[0].Seq - 1
		}
		if through > 0 {
			end = min(end, through)
		}
		if err := l.past(ctx, after, end); err != nil {
			return err
		}
	}
	for _, e := range ring {
		if through > 0 && e.Seq > through {
			break
		}
		if err := l.live(ctx, e); err != nil {
			return err
		}
	}
	return l.flush(ctx)
}

// noted returns the newest events of which all have notes; complete tells whether these are all.
func noted(events []*live.Event) (newest []*live.Event, complete bool) {
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Note == nil {
			return events[i+1:], false
		}
	}
	return events, true
}

// live looks at an event that memory has.
func (l *look) live(ctx context.Context, e *live.Event) error {
	f, known, err := l.judge(ctx, e.Note)
	if err != nil {
		return err
	}
	if e.RedactedBecause != nil {
		f.notify, f.highlight, known = false, false, true
	}
	if !known {
		result, err := l.evaluate(e, e.Note)
		if err != nil {
			return err
		}
		f.set(result)
	}
	return l.put(ctx, f)
}

// past looks at events by their notes. An end of 0 is the newest.
func (l *look) past(ctx context.Context, after, end int64) error {
	if end > 0 && end <= after {
		return nil
	}
	cut := l.a.through(l.c)
	notes := &live.Notes{}
	if l.c.Room != nil {
		notes = &l.c.Room.Notes
	}
	return notes.Each(ctx, after, end, l.readNotes, func(note *live.Note) (bool, error) {
		if note.Position > cut {
			return false, nil
		}
		f, known, err := l.judge(ctx, note)
		if err != nil {
			return false, err
		}
		if !known {
			f.note = note
		}
		return true, l.put(ctx, f)
	})
}

func (l *look) readNotes(ctx context.Context, after, through int64) ([]*live.Note, int64, bool, error) {
	resp, err := l.a.s.deps.Room.Notes(ctx, &roompb.NotesRequest{RoomId: l.c.RoomID, After: after, Through: through})
	if err != nil {
		return nil, 0, false, err
	}
	end := resp.Through
	if n := len(resp.Notes); end == 0 && n > 0 { // of an instance that does not say it yet
		end = resp.Notes[n-1].Seq
	}
	notes := make([]*live.Note, 0, len(resp.Notes))
	names := map[string]string{}
	for _, n := range resp.Notes {
		if n.Note == nil {
			n.Note = &roompb.Note{}
		}
		// Few users and threads stand in many notes.
		n.Note.Sender, n.Note.Thread = intern(names, n.Note.Sender), intern(names, n.Note.Thread)
		notes = append(notes, live.NewNote(n.Seq, n.Position, n.Redacted, n.Note))
	}
	return notes, end, resp.More, nil
}

func intern(names map[string]string, s string) string {
	if known, ok := names[s]; ok {
		return known
	}
	names[s] = s
	return s
}

// put takes what was found, once what was found before it is known.
func (l *look) put(ctx context.Context, f found) error {
	if f.note == nil && l.unknown == 0 {
		l.take(&f)
		return nil
	}
	l.waiting = append(l.waiting, f)
	if f.note != nil {
		l.unknown++
	}
	if l.unknown == maxUnknown || len(l.waiting) == maxWaiting {
		return l.flush(ctx)
	}
	return nil
}

// flush reads the events that must be looked at themselves and takes all that waits.
func (l *look) flush(ctx context.Context) error {
	if len(l.waiting) == 0 {
		return nil
	}
	req := &roompb.EventsAtRequest{RoomId: l.c.RoomID}
	for i := range l.waiting {
		if l.waiting[i].note != nil {
			req.Seqs = append(req.Seqs, l.waiting[i].seq)
		}
	}
	resp, err := l.a.s.deps.Room.EventsAt(ctx, req)
	if err != nil {
		return err
	}
	events, err := decodeAll(resp.Events)
	if err != nil {
		return err
	}
	next := 0
	for i := range l.waiting {
		f := &l.waiting[i]
		if f.note != nil && next < len(events) && events[next].Seq == f.seq {
			if e := events[next]; e.RedactedBecause == nil {
				result, err := l.evaluate(e, f.note)
				if err != nil {
					return err
				}
				f.set(result)
			}
			next++
		}
		l.take(f)
	}
	l.waiting, l.unknown = l.waiting[:0], 0
	return nil
}

// What readers of a room make of an event for each other.
const memoPrepared = 0

// evaluate returns what the user's rules say of an event. The event is prepared once for all readers of the room.
func (l *look) evaluate(e *live.Event, note *live.Note) (pushrules.Result, error) {
	prepare := func() any {
		prepared, err := prepare(e, note, l.c.RoomID)
		if err != nil {
			return err
		}
		return prepared
	}
	var value any
	if l.c.Room != nil {
		value = l.c.Room.Memo.Get(e, memoPrepared, prepare)
	} else {
		value = prepare()
	}
	switch v := value.(type) {
	case *pushrules.Prepared:
		return l.n.preferences.rules.Evaluate(v, l.n.name), nil
	case error:
		return pushrules.Result{}, v
	}
	return pushrules.Result{}, fmt.Errorf("event %s was not prepared", e.ID)
}

func prepare(e *live.Event, note *live.Note, roomID string) (*pushrules.Prepared, error) {
	// Rules for a room go by the room id, which the event as /sync shows it lacks.
	withRoom := append(make([]byte, 0, len(e.JSON)+len(roomID)+16), e.JSON[:len(e.JSON)-1]...)
	withRoom = append(canonicaljson.AppendString(append(withRoom, `,"room_id":`...), roomID), '}')
	ev, err := event.ParseWithID(e.Version, e.ID, withRoom)
	if err != nil {
		return nil, err
	}
	return pushrules.Prepare(ev, note.Circumstances()), nil
}
