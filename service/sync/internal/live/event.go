package live

import (
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
)

// Event is an event as /sync shows it. It does not change.
type Event struct {
	// Position is in the room's shard, Seq in the room.
	Position, Seq int64
	ID            matrix.EventID
	Type          string
	Sender        matrix.UserID
	StateKey      string
	IsState       bool
	// TS is when the event was made, in milliseconds since 1970.
	TS int64
	// JSON is the event in the format of clients, without room_id and without unsigned: the same for every reader.
	JSON []byte
	// Version is the version of the room.
	Version event.RoomVersion
	// Device and Txn are the sender's device and its transaction id.
	Device, Txn string
	// ReplacesState and PrevContent are of the state event that this one replaced.
	ReplacesState matrix.EventID
	PrevContent   []byte
	// RedactedBecause is the redaction in the format of clients, once there is one.
	RedactedBecause []byte
	// Redacts is the event that this one redacts.
	Redacts matrix.EventID
	// Membership and Before are content.membership of a member event and of the one that it replaced; DisplayName is its
	// content.displayname.
	Membership, Before event.Membership
	DisplayName        string
	// RelatesTo and RelType are the event that this one relates to, and how.
	RelatesTo, RelType string

	// Note is what is noted of the event; nil of those from before there were notes.
	Note *Note

	contentLen int
}

// contentAt is where the content stands in an event that matrix/event encoded: behind `{"content":`.
const contentAt = len(`{"content":`)

// NewEvent encodes an event of the room log.
func NewEvent(id string, position, seq int64, pdu []byte, meta *roompb.EventMeta) (*Event, error) {
	version := event.RoomVersion(meta.GetRoomVersion())
	ev, err := event.ParseWithID(version, matrix.EventID(id), pdu)
	if err != nil {
		return nil, fmt.Errorf("encode event for readers: %w", err)
	}
	e := &Event{
		Position: position, Seq: seq,
		ID: ev.ID(), Type: ev.Type(), Sender: ev.Sender(), IsState: ev.IsState(), StateKey: ev.StateKeyValue(),
		TS: ev.OriginServerTS(), Version: version, Redacts: ev.Redacts(),
		Device: meta.GetDeviceId(), Txn: meta.GetTxnId(),
		ReplacesState: matrix.EventID(meta.GetReplacesState()),
		PrevContent:   meta.GetPrevContent(), RedactedBecause: meta.GetRedactedBecause(),
	}
	e.Note = NewNote(seq, position, len(e.RedactedBecause) > 0, meta.GetNote())
	// Exactly as large as it is: rings keep many of them.
	buf := ev.AppendClient(make([]byte, 0, len(pdu)), false)
	e.JSON = append(make([]byte, 0, len(buf)), buf...)
	e.contentLen = contentLength(e.JSON)
	if e.IsState && e.Type == event.TypeMember {
		e.Membership = ev.Membership()
		e.Before = membershipOf(e.PrevContent)
		e.DisplayName = ev.ContentString("displayname")
	} else if relation := ev.ContentValue("m.relates_to"); relation != nil {
		parts := gjson.GetManyBytes(relation, "event_id", "rel_type")
		e.RelatesTo, e.RelType = strings.Clone(parts[0].Str), strings.Clone(parts[1].Str)
	}
	return e, nil
}

// Content is the content object. It must not be changed.
func (e *Event) Content() []byte { return e.JSON[contentAt : contentAt+e.contentLen] }

// IsMember tells whether the event is a member event.
func (e *Event) IsMember() bool { return e.IsState && e.Type == event.TypeMember }

// size is about what the event occupies, in bytes.
func (e *Event) size() int64 {
	size := int64(len(e.JSON)+len(e.PrevContent)+len(e.RedactedBecause)+len(e.ID)+len(e.Sender)+len(e.StateKey)+len(e.Txn)) + 300
	if e.Note != nil {
		size += e.Note.size()
	}
	return size
}

// after returns the event as a redaction leaves it: the event itself if it neither is what is redacted nor quotes it.
func (e *Event) after(because *Event) (*Event, error) {
	switch {
	case e.ID == because.Redacts && e.RedactedBecause == nil:
		return e.redacted(because)
	case e.ReplacesState == because.Redacts && e.PrevContent != nil:
		return e.withoutPrevContent()
	case e.RedactedBecause != nil && gjson.GetBytes(e.RedactedBecause, "event_id").Str == string(because.Redacts):
		pruned, err := event.Redact(e.Version, e.RedactedBecause)
		if err != nil {
			return nil, fmt.Errorf("redact why event %s was redacted: %w", e.ID, err)
		}
		c := *e
		c.RedactedBecause = pruned
		return &c, nil
	}
	return e, nil
}

// withoutPrevContent returns the event with as much of the content that it replaced as a redaction leaves.
func (e *Event) withoutPrevContent() (*Event, error) {
	replaced := append(append([]byte(`{"content":`), e.PrevContent...), `,"type":`...)
	replaced = append(canonicaljson.AppendString(replaced, e.Type), '}')
	pruned, err := event.Redact(e.Version, replaced)
	if err != nil {
		return nil, fmt.Errorf("redact what event %s replaced: %w", e.ID, err)
	}
	c := *e
	c.PrevContent = []byte(gjson.GetBytes(pruned, "content").Raw)
	return &c, nil
}

// redacted returns the event as a redaction leaves it.
func (e *Event) redacted(because *Event) (*Event, error) {
	pruned, err := event.Redact(e.Version, e.JSON)
	if err != nil {
		return nil, fmt.Errorf("redact event %s for readers: %w", e.ID, err)
	}
	c := *e
	c.JSON, c.RedactedBecause = pruned, because.JSON
	c.contentLen = contentLength(pruned)
	c.DisplayName, c.RelatesTo, c.RelType = "", "", ""
	return &c, nil
}
