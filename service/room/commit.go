package room

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/store"
)

// append returns what makes the working copy the room's state.
func (w *working) append(ctx context.Context) (eventlog.Append, error) {
	stream := w.base.stream
	a := eventlog.Append{
		Stream: stream, Expect: stream.Seq, Txns: w.txns, Statements: w.statements,
		Entries: make([]eventlog.Entry, len(w.events)),
		Rows:    make([]eventlog.Row, 0, 2*len(w.events)+len(w.rows)+1),
	}
	for i := range w.events {
		e := &w.events[i]
		meta, err := proto.Marshal(e.meta)
		if err != nil {
			return eventlog.Append{}, matrix.Internal(fmt.Errorf("encode meta of event %s: %w", e.event.ID(), err))
		}
		id := string(e.event.ID())
		a.Entries[i] = eventlog.Entry{
			Kind: eventlog.Kind(roompb.EntryKind_ENTRY_KIND_EVENT), Ref: id, Body: meta, Doc: e.pdu,
		}
		row := store.EventRow(id, e.pdu, e.event.Depth(), stream.ID, e.seq)
		if len(e.meta.RedactedBecause) > 0 {
			row = store.RedactedEventRow(id, e.pdu, e.event.Depth(), stream.ID, e.seq)
		}
		a.Rows = append(a.Rows, row)
		if rel := relationOf(e.event); rel.stored() && len(e.meta.RedactedBecause) == 0 {
			a.Rows = append(a.Rows, store.RelationRow(stream.ID, rel.row(e.event, e.seq)))
		}
		a.Rows = w.stateRows(a.Rows, i)
		if stream.Seq > 0 && closesToGuests(e.event) { // nobody is in a new room
			a.Statements = append(a.Statements, store.CheckGuests(stream.ID, e.seq))
		}
		if stream.Seq > 0 && isRetention(e.event) { // a new room is due anyway
			a.Statements = append(a.Statements, store.CheckRetention(stream.ID, e.seq))
		}
	}
	for _, row := range w.rows {
		a.Rows = append(a.Rows, row(stream.ID))
	}
	var err error
	if a.Rows, err = w.profileRows(ctx, a.Rows); err != nil {
		return eventlog.Append{}, err
	}
	a.Rows = w.threadRows(a.Rows)
	last := w.events[len(w.events)-1]
	a.Rows = append(a.Rows, store.ExtremityRow(stream.ID, string(last.event.ID()), last.event.Depth(), last.seq))
	return a, nil
}

// stateRows appends the rows that the i-th event needs as a state event. Rows that a later event of the
// append would replace are left out.
func (w *working) stateRows(rows []eventlog.Row, i int) []eventlog.Row {
	ev, seq, stream := w.events[i].event, w.events[i].seq, w.base.stream.ID
	if !ev.IsState() {
		return rows
	}
	typ, key, id := ev.Type(), ev.StateKeyValue(), string(ev.ID())
	rows = append(rows, store.StateDeltaRow(stream, typ, key, seq, id))
	if w.state.EventID(typ, key) != id {
		return rows
	}
	rows = append(rows, store.StateCurrentRow(stream, typ, key, seq, id))
	if typ == event.TypeMember {
		rows = append(rows, store.MembershipRow(key, stream, string(ev.Membership()), id, seq, string(ev.Sender())))
	}
	return rows
}

// snapshot returns the working copy as the state that the room has once the append is written.
func (w *working) snapshot() *snapshot {
	stream := w.base.stream
	stream.Seq = w.seq
	return &snapshot{
		roomID: w.roomID, rules: w.rules, stream: stream, depth: w.depth, prev: w.prev, state: w.state, auth: w.auth,
	}
}
