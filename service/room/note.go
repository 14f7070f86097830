package room

import (
	"context"

	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

// inThread is where an event stands among threads: in which one, "" for the main timeline, and over how many relations.
type inThread struct {
	root string
	hops int32
}

// findThread says which thread an event of a batch belongs to. What relates to an event otherwise than by m.thread costs a
// look at that one.
func (w *working) findThread(ctx context.Context, ev *event.Event) (inThread, error) {
	rel := relationOf(ev)
	for hops := int32(0); ; hops++ {
		switch {
		case !rel.stored():
			return inThread{}, nil
		case rel.relType == relThread:
			return inThread{rel.eventID, hops}, nil
		case hops == maxHops:
			return inThread{}, nil
		}
		if a := w.find(matrix.EventID(rel.eventID)); a != nil {
			return next(a.meta.GetNote(), hops), nil
		}
		parent, ok, err := w.s.store.Event(ctx, w.base.stream.ID, rel.eventID)
		if err != nil {
			return inThread{}, matrix.Unavailable(err)
		}
		if !ok {
			return inThread{}, nil
		}
		var meta roompb.EventMeta
		if err := proto.Unmarshal(parent.Meta, &meta); err != nil {
			return inThread{}, matrix.Internal(err)
		}
		if meta.Note != nil {
			return next(meta.Note, hops), nil
		}
		e, err := event.ParseWithID(w.rules.Version, matrix.EventID(parent.EventID), parent.JSON)
		if err != nil {
			return inThread{}, matrix.Internal(err)
		}
		rel = relationOf(e)
	}
}

// next is the place of what relates, over further hops, to an event with a note.
func next(n *roompb.Note, hops int32) inThread {
	if n.GetThread() == "" || n.ThreadHops+hops+1 > maxHops {
		return inThread{}
	}
	return inThread{n.Thread, n.ThreadHops + hops + 1}
}

// takeNote completes the note of an event after which the room is as the working copy has it.
func (w *working) takeNote(ev *event.Event, meta *roompb.EventMeta) {
	in := inThread{meta.GetNote().GetThread(), meta.GetNote().GetThreadHops()}
	meta.Note = noteOf(ev, in, w.auth.levels, w.state.Count(state.Join))
}

// noteOf is what is noted of an event in a room with these power levels and so many joined users.
func noteOf(ev *event.Event, in inThread, levels *auth.PowerLevels, members int) *roompb.Note {
	around := pushrules.Circumstances{Members: members}
	var power int64
	var needed map[string]int64
	if levels != nil {
		around.SenderCanNotify = func(key string) bool { return levels.CanNotify(ev.Sender(), key) }
		power, needed = levels.UserLevel(ev.Sender()), levels.Notifications()
	}
	o := pushrules.Prepare(ev, around).Outline(power, needed)
	return &roompb.Note{
		Sender: string(ev.Sender()), Thread: in.root, ThreadHops: in.hops, Facts: uint32(o.Facts), Type: o.Type,
		Words: o.Words.Bytes(), Mentioned: o.Mentioned, Members: int64(o.Members), Power: o.Power, Levels: o.Levels,
	}
}

// pruneNote takes what a redacted event said out of its note. Which thread it is in stays.
func pruneNote(n *roompb.Note) {
	if n != nil {
		n.Words, n.Mentioned = nil, nil
	}
}

// maxNotes and maxNoteBytes bound the notes of one answer, maxEventsAt the events.
const (
	maxNotes     = 1024
	maxNoteBytes = 1 << 20
	maxEventsAt  = 512
)

// Notes gives what is noted of the events in a range of a room.
func (r roomServer) Notes(ctx context.Context, req *roompb.NotesRequest) (*roompb.NotesResponse, error) {
	reads := r.s.reads
	v, err := reads.open(ctx, req.RoomId, req.JoinedBy)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNoSuchRoom()
	}
	resp := &roompb.NotesResponse{}
	after := req.After
	if req.JoinedBy != "" {
		membership, err := reads.membershipOf(ctx, &v.View, req.JoinedBy)
		if err != nil {
			return nil, err
		}
		if last := len(membership.changes) - 1; last >= 0 && membership.changes[last].value == event.Join {
			resp.JoinedSeq = membership.changes[last].seq
		}
		after = max(after, resp.JoinedSeq)
	}
	through := v.Seq
	if req.Through > 0 {
		through = min(through, req.Through)
	}
	rows, err := reads.store.Notes(ctx, v.ID, after, through, maxNotes+1)
	if err != nil {
		return nil, err
	}
	resp.Through = through
	size := 0
	for i := range rows {
		if i == maxNotes || size > maxNoteBytes {
			resp.More, resp.Through = true, rows[i-1].Seq
			break
		}
		n, err := reads.noteAt(ctx, v, &rows[i])
		if err != nil {
			return nil, err
		}
		size += len(rows[i].Meta)
		resp.Notes = append(resp.Notes, n)
	}
	return resp, nil
}

// noteAt decodes a note. Of events from before there were notes it is made up from the event and the room as it is now.
func (r *reads) noteAt(ctx context.Context, v *view, row *store.Event) (*roompb.NoteAt, error) {
	var meta roompb.EventMeta
	if err := proto.Unmarshal(row.Meta, &meta); err != nil {
		return nil, err
	}
	n := &roompb.NoteAt{Seq: row.Seq, Position: row.Position, Note: meta.Note, Redacted: len(meta.RedactedBecause) > 0}
	if n.Note != nil {
		return n, nil
	}
	s, err := r.event(ctx, v, row.ID)
	if err != nil || s.event == nil {
		return n, err
	}
	thread, err := r.thread(ctx, v, s.event)
	if err != nil {
		return nil, err
	}
	if thread == mainThread {
		thread = ""
	}
	levels, members, err := r.present(ctx, v)
	if err != nil {
		return nil, err
	}
	n.Note = noteOf(s.event, inThread{root: thread}, levels, members)
	return n, nil
}

// present are the room's power levels and its number of joined users now.
func (r *reads) present(ctx context.Context, v *view) (*auth.PowerLevels, int, error) {
	sum, err := r.store.Summary(ctx, v.ID, v.Seq, "")
	if err != nil {
		return nil, 0, err
	}
	events, err := r.store.State(ctx, v.ID, v.Seq, store.Selection{Keys: []store.Key{
		{Type: event.TypeCreate}, {Type: event.TypePowerLevels},
	}})
	if err != nil {
		return nil, 0, err
	}
	var entries []*state.Entry
	for i := range events {
		s, err := v.parse(&events[i])
		if err != nil {
			return nil, 0, err
		}
		entries = append(entries, &state.Entry{Type: s.event.Type(), Key: s.event.StateKeyValue(), Event: s.event})
	}
	a, err := authorityOf(state.New(entries, nil))
	return a.levels, int(sum.Joined), err
}

// EventsAt gives events of a room by their sequence numbers.
func (r roomServer) EventsAt(ctx context.Context, req *roompb.EventsAtRequest) (*roompb.EventsAtResponse, error) {
	reads := r.s.reads
	if len(req.Seqs) > maxEventsAt {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "One call may ask for %d events.", maxEventsAt)
	}
	v, err := reads.open(ctx, req.RoomId, "")
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNoSuchRoom()
	}
	events, err := reads.store.EventsAt(ctx, v.ID, req.Seqs)
	if err != nil {
		return nil, err
	}
	resp := &roompb.EventsAtResponse{Events: make([]*roompb.Event, len(events))}
	for i := range events {
		if resp.Events[i], err = eventProto(&events[i], v.Version, "", "", ""); err != nil {
			return nil, err
		}
	}
	return resp, nil
}
