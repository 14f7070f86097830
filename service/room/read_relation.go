package room

import (
	"context"
	"fmt"

	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
)

const (
	relThread     = "m.thread"
	relReplace    = "m.replace"
	relAnnotation = "m.annotation"
	// mainThread is the thread id of what is in no thread.
	mainThread = "main"
	// maxHops bounds how far a chain of relations is followed to find a thread (client-server API, "Threaded read
	// receipts").
	maxHops = 3
)

// relation is content.m.relates_to: how an event relates to another one, and an annotation's key.
type relation struct{ relType, eventID, key string }

// maxRelation bounds relation types, like event ids, in bytes.
const maxRelation = 255

// stored reports whether the relation is one that is looked up: both of its parts are there and of a size that ids have.
func (r relation) stored() bool {
	return r.relType != "" && r.eventID != "" && len(r.relType) <= maxRelation && len(r.eventID) <= maxRelation &&
		isText(r.relType) && isText(r.eventID)
}

func relationOf(e *event.Event) relation {
	raw := e.ContentValue("m.relates_to")
	if raw == nil {
		return relation{}
	}
	fields := gjson.GetManyBytes(raw, "rel_type", "event_id", "key")
	var r relation
	if fields[0].Type == gjson.String {
		r.relType = fields[0].Str
	}
	if fields[1].Type == gjson.String {
		r.eventID = fields[1].Str
	}
	if fields[2].Type == gjson.String {
		r.key = fields[2].Str
	}
	return r
}

// notedThread returns the thread that an event was noted to be in when it was appended: it stays there when a redaction
// takes its relation.
func (r *reads) notedThread(ctx context.Context, v *view, s shown) (string, error) {
	var meta roompb.EventMeta
	if err := proto.Unmarshal(s.Meta, &meta); err != nil {
		return "", fmt.Errorf("decode meta of %s: %w", s.ID, err)
	}
	switch {
	case meta.Note == nil:
		return r.thread(ctx, v, s.event)
	case meta.Note.Thread == "":
		return mainThread, nil
	}
	return meta.Note.Thread, nil
}

// thread returns the root of the thread that an event is in, or "main".
func (r *reads) thread(ctx context.Context, v *view, e *event.Event) (string, error) {
	for range maxHops {
		rel := relationOf(e)
		switch {
		case !rel.stored():
			return mainThread, nil
		case rel.relType == relThread:
			return rel.eventID, nil
		}
		parent, err := r.event(ctx, v, rel.eventID)
		if err != nil || parent.event == nil {
			return mainThread, err
		}
		e = parent.event
	}
	if rel := relationOf(e); rel.relType == relThread && rel.stored() {
		return rel.eventID, nil
	}
	return mainThread, nil
}

// event reads an event of the room, visible or not; its zero value where there is none.
func (r *reads) event(ctx context.Context, v *view, id string) (shown, error) {
	if !isText(id) {
		return shown{}, nil
	}
	e, ok, err := r.store.Event(ctx, v.ID, id)
	if err != nil || !ok {
		return shown{}, err
	}
	return v.parse(&e)
}

// visibleEvent is event for what the reader may see.
func (r *reads) visibleEvent(ctx context.Context, v *view, id string) (shown, error) {
	if v == nil {
		return shown{}, errNoEvent()
	}
	s, err := r.event(ctx, v, id)
	if err != nil {
		return shown{}, err
	}
	if s.event == nil || !v.sees(s.Seq) {
		return shown{}, errNoEvent()
	}
	return s, nil
}
