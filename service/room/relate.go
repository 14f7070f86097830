package room

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/service/room/internal/store"
)

const (
	// maxDetail bounds what is stored of an annotation's key, in bytes; a longer one is stored as hashPrefix and its hash.
	maxDetail  = 255
	hashPrefix = "sha256:"
)

// row is the relation as it is stored.
func (r relation) row(e *event.Event, seq int64) store.Relation {
	return store.Relation{
		Target: r.eventID, RelType: r.relType, Seq: seq, Sender: string(e.Sender()), EventType: e.Type(), TS: e.OriginServerTS(),
		Detail: r.detail(e),
	}
}

// detail is what else the relation says: an annotation's key, and whether a replacement brings new content. That of an
// encrypted one cannot be seen.
func (r relation) detail(e *event.Event) string {
	switch {
	case r.relType == relAnnotation && (len(r.key) > maxDetail || !isText(r.key) || strings.HasPrefix(r.key, hashPrefix)):
		sum := sha256.Sum256([]byte(r.key))
		return hashPrefix + hex.EncodeToString(sum[:])
	case r.relType == relAnnotation:
		return r.key
	case r.relType == relReplace && !e.IsState() &&
		(e.Type() == event.TypeEncrypted || gjson.ParseBytes(e.ContentValue("m.new_content")).IsObject()):
		return store.NewContent
	}
	return ""
}

// relate refuses an event that may not relate to another one as it says, and counts it in its thread.
func (w *working) relate(ctx context.Context, ev *event.Event) error {
	rel := relationOf(ev)
	switch {
	case !rel.stored():
		return nil
	case rel.relType == relAnnotation && rel.key != "":
		return w.refuseRepeated(ctx, rel.row(ev, 0))
	case rel.relType == relThread:
		return w.addReply(ctx, rel.eventID)
	}
	return nil
}

// refuseRepeated refuses an annotation that its sender has made before and not redacted.
func (w *working) refuseRepeated(ctx context.Context, r store.Relation) error {
	repeated := matrix.NewError(matrix.CodeDuplicateAnnotation, "You have annotated this event with this key already.").
		WithStatus(http.StatusBadRequest)
	for i := range w.events {
		a := &w.events[i]
		if len(a.meta.RedactedBecause) > 0 || string(a.event.Sender()) != r.Sender || a.event.Type() != r.EventType {
			continue
		}
		if rel := relationOf(a.event); rel.relType == relAnnotation && rel.eventID == r.Target && rel.detail(a.event) == r.Detail {
			return repeated
		}
	}
	// Those that this batch redacts are still stored.
	seqs, err := w.s.store.Annotations(ctx, w.base.stream.ID, r, len(w.unrelated)+1)
	if err != nil {
		return matrix.Unavailable(err)
	}
	for _, seq := range seqs {
		if !slices.Contains(w.unrelated, seq) {
			return repeated
		}
	}
	return nil
}

// addReply counts the next event in the thread off an event. Only one that itself relates to nothing has a thread.
func (w *working) addReply(ctx context.Context, root string) error {
	t, ok, err := w.thread(ctx, root)
	if err != nil {
		return err
	}
	if !ok {
		e, err := w.eventHere(ctx, matrix.EventID(root))
		switch {
		case err != nil:
			return err
		case e == nil:
			return nil // it is in a thread off nothing
		case relationOf(e).stored() && !w.redactedHere(e.ID()):
			return matrix.NewError(matrix.CodeUnknown,
				"A thread cannot start at an event that itself relates to another one. Reply to the root of its thread.").
				WithStatus(http.StatusBadRequest)
		}
	}
	w.threads = append(w.threads, store.Thread{
		Root: root, Replies: t.Replies + 1, Latest: w.seq + 1, Stored: t.Stored,
	})
	return nil
}

// unrelate takes the relation of an event back that is redacted.
func (w *working) unrelate(ctx context.Context, t target) error {
	rel := relationOf(t.event)
	if !rel.stored() {
		return nil
	}
	if t.added == nil {
		w.statements = append(w.statements, store.Unrelate(w.base.stream.ID, rel.eventID, t.seq))
		w.unrelated = append(w.unrelated, t.seq)
	}
	if rel.relType != relThread {
		return nil
	}
	in, ok, err := w.thread(ctx, rel.eventID)
	if err != nil || !ok || in.Replies == 0 {
		return err
	}
	in.Replies--
	if in.Latest == t.seq {
		if in.Latest, err = w.latestReply(ctx, in.Root); err != nil {
			return err
		}
	}
	w.threads = append(w.threads, in)
	return nil
}

// thread returns a thread as the working copy has made it; ok is false where there never was one off this event.
func (w *working) thread(ctx context.Context, root string) (t store.Thread, ok bool, err error) {
	for _, t := range slices.Backward(w.threads) {
		if t.Root == root {
			return t, true, nil
		}
	}
	if t, ok, err = w.s.store.Thread(ctx, w.base.stream.ID, root); err != nil {
		return t, false, matrix.Unavailable(err)
	}
	return t, ok, nil
}

// latestReply finds the newest event of a thread that is not redacted; 0 where there is none.
func (w *working) latestReply(ctx context.Context, root string) (int64, error) {
	for _, a := range slices.Backward(w.events) {
		rel := relationOf(a.event)
		if rel.relType == relThread && rel.eventID == root && len(a.meta.RedactedBecause) == 0 {
			return a.seq, nil
		}
	}
	seqs, err := w.s.store.Replies(ctx, w.base.stream.ID, root, len(w.unrelated)+1)
	if err != nil {
		return 0, matrix.Unavailable(err)
	}
	for _, seq := range seqs {
		if !slices.Contains(w.unrelated, seq) {
			return seq, nil
		}
	}
	return 0, nil
}

// threadRows appends the rows of the threads that the working copy has changed.
func (w *working) threadRows(rows []eventlog.Row) []eventlog.Row {
	for i, t := range w.threads {
		later := slices.ContainsFunc(w.threads[i+1:], func(l store.Thread) bool { return l.Root == t.Root })
		if !later {
			rows = append(rows, store.ThreadRow(w.base.stream.ID, t))
		}
	}
	return rows
}

// eventHere returns an event of the room, nil where there is none with this id. One that the batch redacts may still be as it was.
func (w *working) eventHere(ctx context.Context, id matrix.EventID) (*event.Event, error) {
	if a := w.find(id); a != nil {
		return event.ParseWithID(w.rules.Version, id, a.pdu)
	}
	stored, ok, err := w.s.store.Event(ctx, w.base.stream.ID, string(id))
	if err != nil {
		return nil, matrix.Unavailable(err)
	}
	if !ok {
		return nil, nil
	}
	e, err := event.ParseWithID(w.rules.Version, id, stored.JSON)
	if err != nil {
		return nil, matrix.Internal(err)
	}
	return e, nil
}
