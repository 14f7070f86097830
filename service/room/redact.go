package room

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"

	"hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

// redactEvent is PUT /rooms/{roomId}/redact/{eventId}/{txnId}.
func (s *Service) redactEvent(rw http.ResponseWriter, r *http.Request) error {
	q, err := readRequest(r)
	if err != nil {
		return err
	}
	target, txnID := matrix.EventID(r.PathValue("eventId")), r.PathValue("txnId")
	content, bodyErr := readContent(r)
	if bodyErr == nil {
		bodyErr = checkTxnID(txnID)
	}
	if bodyErr == nil {
		_, content, bodyErr = cutRedacts(content)
	}
	txn := q.txn(txnID, "/rooms/"+q.room+"/redact/"+string(target))
	if bodyErr != nil {
		txn.ID = ""
	}
	return s.answer(rw, q, txn, func(ctx context.Context, w *working) ([]byte, error) {
		if err := w.mustSend(q.user, event.TypeRedaction, false); err != nil {
			return nil, err
		}
		if bodyErr != nil {
			return nil, bodyErr
		}
		d := draft{sender: q.user, typ: event.TypeRedaction, content: content, device: q.DeviceID, txn: txnID}
		ev, err := w.redactAs(ctx, q, d, target)
		if err != nil {
			return nil, err
		}
		return eventAnswer(ev.ID()), nil
	})
}

// redactAs is redact for a caller who may be suspended: they may redact only what is theirs.
func (w *working) redactAs(ctx context.Context, q request, d draft, target matrix.EventID) (*event.Event, error) {
	if q.Suspended {
		t, err := w.redactionTarget(ctx, target)
		if err != nil {
			return nil, err
		}
		if t.event.Sender() != q.user {
			return nil, q.active()
		}
	}
	return w.redact(ctx, d, target, q.Admin)
}

// cutRedacts takes "redacts" out of a content: where it belongs depends on the room's version.
func cutRedacts(content []byte) (matrix.EventID, []byte, error) {
	o, err := parseObject(content)
	if err != nil {
		return "", nil, err
	}
	raw, ok := o["redacts"]
	if !ok {
		return "", content, nil
	}
	id := o.str("redacts")
	if id == "" {
		return "", nil, matrix.Errorf(matrix.CodeBadJSON, "\"redacts\" must be an event id, not %.64s.", raw)
	}
	delete(o, "redacts")
	content, err = o.canonical()
	return matrix.EventID(id), content, err
}

// target is an event that is to be redacted.
type target struct {
	event *event.Event
	meta  *roompb.EventMeta
	seq   int64
	// added is set where the working copy added the event itself.
	added *added
	// redacted tells that the event was redacted before.
	redacted bool
}

// redact adds a redaction and prunes its target. Whoever may send redactions may redact their own events; others'
// events need the room's redact level, or a server administrator and a sender of this server.
func (w *working) redact(ctx context.Context, d draft, id matrix.EventID, admin bool) (*event.Event, error) {
	t, err := w.redactionTarget(ctx, id)
	if err != nil {
		return nil, err
	}
	sender := t.event.Sender()
	local := admin && sender.Server() == w.s.server
	if !local && !w.auth.levels.CanRedact(d.sender, sender) {
		return nil, matrix.Errorf(matrix.CodeForbidden, "Redacting others' events here needs a power level of %d.", w.auth.levels.Redact)
	}
	if t.event.Type() == event.TypeCreate {
		return nil, matrix.NewError(matrix.CodeForbidden, "The event that created the room cannot be redacted.")
	}
	d.redacts = id
	ev, err := w.add(ctx, d)
	if err != nil || t.redacted {
		return ev, err
	}
	if a := w.find(ev.ID()); a != nil {
		a.meta.Note.RedactsSeq = t.seq
	}
	return ev, w.prune(ctx, t, ev)
}

// redactionTarget finds the event to redact in this room.
func (w *working) redactionTarget(ctx context.Context, id matrix.EventID) (target, error) {
	notFound := matrix.NewError(matrix.CodeNotFound, "The event to redact is not in this room.")
	if _, err := matrix.ParseEventID(string(id)); err != nil {
		return target{}, notFound
	}
	if a := w.find(id); a != nil {
		return target{
			event: a.event, meta: a.meta, seq: a.seq, added: a, redacted: len(a.meta.RedactedBecause) > 0,
		}, nil
	}
	stored, ok, err := w.s.store.Event(ctx, w.base.stream.ID, string(id))
	if err != nil {
		return target{}, matrix.Unavailable(err)
	}
	if !ok {
		return target{}, notFound
	}
	ev, err := event.ParseWithID(w.rules.Version, id, stored.JSON)
	if err != nil {
		return target{}, matrix.Internal(err)
	}
	meta, err := w.storedMeta(stored)
	if err != nil {
		return target{}, err
	}
	return target{
		event: ev, meta: meta, seq: stored.Seq, redacted: stored.Redacted || w.redactedHere(id),
	}, nil
}

// redactedHere tells whether a redaction of the working copy redacts the event already.
func (w *working) redactedHere(id matrix.EventID) bool {
	for i := range w.events {
		if w.events[i].event.Redacts() == id {
			return true
		}
	}
	return false
}

// prune replaces the target by its pruned form, wherever it is kept, and notes why.
func (w *working) prune(ctx context.Context, t target, redaction *event.Event) error {
	pruned, err := event.Redact(w.rules.Version, t.event.JSON())
	if err != nil {
		return matrix.Internal(fmt.Errorf("redact %s: %w", t.event.ID(), err))
	}
	now, err := event.ParseWithID(w.rules.Version, t.event.ID(), pruned)
	if err != nil {
		return matrix.Internal(err)
	}
	because := redaction.ClientJSON(true)
	if t.added != nil {
		// What other operations of the batch hold must not change under them when this one is undone.
		w.replaceAdded(t.added.seq, func(a *added) {
			a.pdu = pruned
			a.meta = proto.Clone(a.meta).(*roompb.EventMeta)
			a.meta.RedactedBecause = because
			pruneNote(a.meta.Note)
		})
	} else {
		t.meta.RedactedBecause = because
		pruneNote(t.meta.Note)
		w.statements = append(w.statements, store.Redact(string(t.event.ID()), pruned, w.base.stream.ID))
		if err := w.changeMeta(t.seq, t.meta); err != nil {
			return err
		}
	}
	if err := w.unrelate(ctx, t); err != nil {
		return err
	}
	if !t.event.IsState() {
		return w.pruneBecause(ctx, t.event, now)
	}
	w.profiled = w.profiled || isProfile(t.event.Type(), t.event.StateKeyValue())
	if t.added == nil {
		w.pruned = append(w.pruned, now)
		if isRetention(now) {
			w.statements = append(w.statements, store.CheckRetention(w.base.stream.ID, w.seq))
		}
	}
	if e := w.state.Get(t.event.Type(), t.event.StateKeyValue()); e != nil && e.EventID == string(now.ID()) && e.Event != nil {
		if closesToGuests(now) {
			w.statements = append(w.statements, store.CheckGuests(w.base.stream.ID, w.seq))
		}
		err := w.setEntry(&state.Entry{Type: e.Type, Key: e.Key, EventID: e.EventID, Seq: e.Seq, Event: now})
		if err != nil {
			return err
		}
	}
	return w.prunePrevContent(ctx, t, now)
}

// prunePrevContent takes the redacted content out of what the state event after it remembers of it.
func (w *working) prunePrevContent(ctx context.Context, t target, pruned *event.Event) error {
	for i := range w.events {
		if w.events[i].meta.ReplacesState == string(pruned.ID()) {
			w.replaceAdded(w.events[i].seq, func(a *added) {
				a.meta = proto.Clone(a.meta).(*roompb.EventMeta)
				a.meta.PrevContent = pruned.Content()
			})
		}
	}
	if t.added != nil {
		return nil
	}
	next, ok, err := w.s.store.NextState(ctx, w.base.stream.ID, pruned.Type(), pruned.StateKeyValue(), t.seq)
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !ok {
		return nil
	}
	meta, err := w.storedMeta(next)
	if err != nil {
		return err
	}
	if meta.ReplacesState != string(pruned.ID()) {
		return nil
	}
	meta.PrevContent = pruned.Content()
	return w.changeMeta(next.Seq, meta)
}

// pruneBecause takes what a redaction that is redacted itself said, such as its reason, out of the event that it redacted.
func (w *working) pruneBecause(ctx context.Context, redaction, pruned *event.Event) error {
	id := redaction.Redacts()
	if id == "" {
		return nil
	}
	isCause := func(meta *roompb.EventMeta) bool {
		return gjson.GetBytes(meta.RedactedBecause, "event_id").Str == string(redaction.ID())
	}
	if a := w.find(id); a != nil {
		if isCause(a.meta) {
			w.replaceAdded(a.seq, func(a *added) {
				a.meta = proto.Clone(a.meta).(*roompb.EventMeta)
				a.meta.RedactedBecause = pruned.ClientJSON(true)
			})
		}
		return nil
	}
	stored, ok, err := w.s.store.Event(ctx, w.base.stream.ID, string(id))
	if err != nil {
		return matrix.Unavailable(err)
	}
	if !ok {
		return nil
	}
	meta, err := w.storedMeta(stored)
	if err != nil || !isCause(meta) {
		return err
	}
	meta.RedactedBecause = pruned.ClientJSON(true)
	return w.changeMeta(stored.Seq, meta)
}

// changedMeta is what an earlier operation of the batch made of the meta of a stored event.
type changedMeta struct {
	seq  int64
	meta *roompb.EventMeta
}

// storedMeta returns the meta of a stored event as the batch has made it so far. The caller may change it.
func (w *working) storedMeta(e store.StoredEvent) (*roompb.EventMeta, error) {
	for i := len(w.metas) - 1; i >= 0; i-- {
		if w.metas[i].seq == e.Seq {
			return proto.Clone(w.metas[i].meta).(*roompb.EventMeta), nil
		}
	}
	meta := new(roompb.EventMeta)
	if err := proto.Unmarshal(e.Meta, meta); err != nil {
		return nil, matrix.Internal(fmt.Errorf("decode meta of event %s: %w", e.EventID, err))
	}
	return meta, nil
}

// changeMeta replaces the meta of a stored event.
func (w *working) changeMeta(seq int64, meta *roompb.EventMeta) error {
	raw, err := proto.Marshal(meta)
	if err != nil {
		return matrix.Internal(fmt.Errorf("encode meta of entry %d: %w", seq, err))
	}
	w.metas = append(w.metas, changedMeta{seq, meta})
	w.statements = append(w.statements, store.SetMeta(w.base.stream.ID, seq, raw))
	return nil
}

// replaceAdded changes one of the added events in a new list, so that the marked working copy keeps the old one.
func (w *working) replaceAdded(seq int64, change func(*added)) {
	events := make([]added, len(w.events), len(w.events)+1)
	copy(events, w.events)
	change(&events[seq-w.base.stream.Seq-1])
	w.events = events
}
