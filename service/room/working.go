package room

import (
	"bytes"
	"context"
	"fmt"

	"hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

// working is the working copy of a room on which operations run: the state that a snapshot gives, and what was
// added to it. Copying the struct marks a point to go back to.
type working struct {
	s      *Service
	base   *snapshot
	roomID matrix.RoomID
	rules  *event.Rules
	// now is the present in milliseconds: the time of all events of the batch.
	now int64
	// aliases are those that are made and, without a room, deleted together with the events; see alias.
	aliases []store.Alias

	seq, depth int64
	prev       []matrix.EventID
	state      state.State
	auth       authority
	// thirdParty is the invite by address that a user's invite follows from.
	thirdParty *event.Event

	events     []added
	rows       []func(room int64) eventlog.Row
	txns       []eventlog.Txn
	statements []eventlog.Statement
	metas      []changedMeta
	// pruned are the stored state events that the working copy redacts.
	pruned []*event.Event
	// profiled tells that something changed of what others may learn of the room; published, of a new room, that it is in
	// the directory.
	profiled, published bool
	// threads are those that replies were added to or taken from, the newest last; unrelated are the sequence numbers of stored
	// events whose relation was taken back.
	threads   []store.Thread
	unrelated []int64
}

// added is an event that the append will write.
type added struct {
	event *event.Event
	// pdu is the event as it is stored: pruned if a later event of the batch redacts it.
	pdu  []byte
	meta *roompb.EventMeta
	seq  int64
}

// draft is what an operation decides about an event.
type draft struct {
	sender matrix.UserID
	typ    string
	// key is nil for an event that is no state event.
	key *string
	// content is canonical JSON.
	content []byte
	redacts matrix.EventID
	// device and txn are told to the device that sent the event.
	device, txn string
}

func newWorking(s *Service, base *snapshot) *working {
	return &working{
		s: s, base: base, roomID: base.roomID, rules: base.rules, now: s.now(),
		seq: base.stream.Seq, depth: base.depth, prev: base.prev, state: base.state, auth: base.auth,
	}
}

// add builds, authorises and adds an event. A state event that says what its sender said before is not added: the
// earlier one is returned.
func (w *working) add(ctx context.Context, d draft) (*event.Event, error) {
	meta := w.meta(d)
	if d.key != nil {
		old, err := w.current(ctx, d.typ, *d.key)
		if err != nil {
			return nil, err
		}
		if old != nil {
			if old.Sender() == d.sender && bytes.Equal(old.Content(), d.content) {
				return old, nil
			}
			meta.ReplacesState, meta.PrevContent, meta.PrevSender = string(old.ID()), old.Content(), string(old.Sender())
			meta.ReplacesSeq = w.state.Seq(d.typ, *d.key)
		} else if most := w.s.cfg.MaxState; d.typ != event.TypeMember && w.state.Others() >= most {
			return nil, matrix.Errorf(matrix.CodeResourceLimitExceeded, "A room may have %d state events.", most)
		}
	}
	ev, err := w.build(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := auth.Allowed(ev, stateForRules{w}); err != nil {
		return nil, err
	}
	if err := w.relate(ctx, ev); err != nil {
		return nil, err
	}
	in, err := w.findThread(ctx, ev)
	if err != nil {
		return nil, err
	}
	meta.Note = &roompb.Note{Thread: in.root, ThreadHops: in.hops}
	return ev, w.apply(ev, meta)
}

// meta is what is kept beside a new event.
func (w *working) meta(d draft) *roompb.EventMeta {
	return &roompb.EventMeta{DeviceId: d.device, TxnId: d.txn, RoomVersion: string(w.rules.Version)}
}

// build makes the event that follows what the working copy has.
func (w *working) build(ctx context.Context, d draft) (*event.Event, error) {
	p := event.Proto{
		RoomVersion: w.rules.Version, RoomID: w.roomID, Sender: d.sender, Type: d.typ, StateKey: d.key,
		Content: d.content, Redacts: d.redacts, PrevEvents: w.prev,
		Depth: min(w.depth+1, canonicaljson.MaxInt), OriginServerTS: w.now,
	}
	p.AuthEvents = w.authEvents(&p)
	if w.rules.OwnEventIDs {
		if err := w.reference(ctx, &p); err != nil {
			return nil, err
		}
	}
	ev, err := event.Build(p, w.s.signer)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", d.typ, err)
	}
	if w.rules.OwnEventIDs { // the next event names it
		_, err = w.remember(ev)
	}
	return ev, err
}

// apply makes an authorised event the newest of the room, and completes its note.
func (w *working) apply(ev *event.Event, meta *roompb.EventMeta) error {
	if err := w.advance(ev, meta); err != nil {
		return err
	}
	w.takeNote(ev, meta)
	return nil
}

func (w *working) advance(ev *event.Event, meta *roompb.EventMeta) error {
	w.seq++
	w.depth = ev.Depth()
	w.prev = []matrix.EventID{ev.ID()}
	w.events = append(w.events, added{event: ev, pdu: ev.JSON(), meta: meta, seq: w.seq})
	if !ev.IsState() {
		return nil
	}
	key := ev.StateKeyValue()
	if ev.Type() == event.TypeMember {
		m := &state.Member{
			UserID: key, Membership: internMembership(string(ev.Membership())), EventID: string(ev.ID()),
			Sender: string(ev.Sender()), Seq: w.seq,
		}
		if m.Sender == m.UserID {
			m.Sender = m.UserID
		}
		w.state = w.state.WithMember(m)
		return nil
	}
	entry := &state.Entry{Type: ev.Type(), Key: key, EventID: string(ev.ID()), Seq: w.seq}
	if state.Kept(ev.Type(), key) {
		entry.Event = ev
	}
	return w.setEntry(entry)
}

// setEntry replaces an entry of the state, and what was parsed from it.
func (w *working) setEntry(e *state.Entry) error {
	w.state = w.state.WithEntry(e)
	w.profiled = w.profiled || isProfile(e.Type, e.Key)
	if !w.auth.changes(e.Type, e.Key) {
		return nil
	}
	parsed, err := authorityOf(w.state)
	if err != nil {
		return matrix.Internal(fmt.Errorf("room %s: %w", w.roomID, err))
	}
	w.auth = parsed
	return nil
}

// current returns the current state event of a type and state key, nil if there is none. What is neither new nor
// kept in memory is read from the database.
func (w *working) current(ctx context.Context, typ, key string) (*event.Event, error) {
	id := w.state.EventID(typ, key)
	if id == "" {
		return nil, nil
	}
	if a := w.find(matrix.EventID(id)); a != nil {
		return event.ParseWithID(w.rules.Version, matrix.EventID(id), a.pdu)
	}
	if e := w.state.Get(typ, key); e != nil && e.Event != nil {
		return e.Event, nil
	}
	for _, e := range w.pruned {
		if string(e.ID()) == id {
			return e, nil
		}
	}
	stored, ok, err := w.s.store.Event(ctx, w.base.stream.ID, id)
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	if !ok {
		return nil, matrix.Internal(fmt.Errorf("state event %s of room %s is not in the database", id, w.roomID))
	}
	ev, err := event.ParseWithID(w.rules.Version, matrix.EventID(id), stored.JSON)
	if err != nil {
		return nil, matrix.Internal(err)
	}
	return ev, nil
}

// find returns the event if the working copy added it; nil otherwise.
func (w *working) find(id matrix.EventID) *added {
	for i := len(w.events) - 1; i >= 0; i-- {
		if w.events[i].event.ID() == id {
			return &w.events[i]
		}
	}
	return nil
}
