package event

import (
	"fmt"

	"hongyan/matrix"
	"hongyan/matrix/internal/rawjson"
)

// Event is one PDU. It does not change.
type Event struct {
	rules      *Rules
	id         matrix.EventID
	json       []byte
	typ        string
	stateKey   string
	isState    bool
	ownRoomID  bool // room_id stands in the JSON
	roomID     matrix.RoomID
	sender     matrix.UserID
	redacts    matrix.EventID
	depth      int64
	ts         int64
	content    []byte
	prevEvents []byte
	authEvents []byte
}

// Parse reads an event that was checked before, one's own from a database. Nothing is verified.
// The event keeps json, which must not change any more; its id is computed from it.
func Parse(version RoomVersion, json []byte) (*Event, error) {
	return ParseWithID(version, "", json)
}

// ParseWithID is Parse for an event whose id is known, which saves hashing.
func ParseWithID(version RoomVersion, id matrix.EventID, json []byte) (*Event, error) {
	rules := version.Rules()
	if rules == nil {
		return nil, fmt.Errorf("parse event %s: unknown room version %q", id, version)
	}
	e := &Event{rules: rules, id: id, json: json}
	if err := e.scan(); err != nil {
		return nil, fmt.Errorf("parse event %s: %w", id, err)
	}
	if e.id == "" {
		var err error
		if e.id, err = referenceID(rules, json); err != nil {
			return nil, fmt.Errorf("parse event: %w", err)
		}
	}
	if !e.ownRoomID && rules.RoomIDFromCreate && e.typ == TypeCreate {
		e.roomID = e.id.RoomID()
	}
	return e, nil
}

// scan finds the top-level members in one pass.
func (e *Event) scan() error {
	redacts := ""
	for it := rawjson.Object(e.json); it.Next(); {
		switch string(it.Key) {
		case "type":
			e.typ = rawjson.Text(it.Value)
		case "state_key":
			e.stateKey, e.isState = rawjson.String(it.Value)
		case "sender":
			e.sender = matrix.UserID(rawjson.Text(it.Value))
		case "room_id":
			e.roomID, e.ownRoomID = matrix.RoomID(rawjson.Text(it.Value)), true
		case "content":
			e.content = it.Value
		case "depth":
			e.depth, _ = rawjson.Int(it.Value)
		case "origin_server_ts":
			e.ts, _ = rawjson.Int(it.Value)
		case "prev_events":
			e.prevEvents = it.Value
		case "auth_events":
			e.authEvents = it.Value
		case "redacts":
			redacts = rawjson.Text(it.Value)
		}
	}
	if e.typ == "" || e.sender == "" || !rawjson.IsObject(e.content) {
		return fmt.Errorf("type, sender or content is missing")
	}
	if e.typ == TypeRedaction {
		if e.rules.RedactsInContent {
			redacts = rawjson.Text(rawjson.Get(e.content, "redacts"))
		}
		e.redacts = matrix.EventID(redacts)
	}
	return nil
}

// Rules are those of the version of the event's room.
func (e *Event) Rules() *Rules { return e.rules }

// Version is the version of the event's room.
func (e *Event) Version() RoomVersion { return e.rules.Version }

// ID is the event's id.
func (e *Event) ID() matrix.EventID { return e.id }

// Type is the event's type.
func (e *Event) Type() string { return e.typ }

// IsState tells whether the event is a state event.
func (e *Event) IsState() bool { return e.isState }

// StateKey is the state key, nil where the event is not a state event.
func (e *Event) StateKey() *string {
	if !e.isState {
		return nil
	}
	key := e.stateKey
	return &key
}

// StateKeyValue is the state key, "" also where the event is not a state event.
func (e *Event) StateKeyValue() string { return e.stateKey }

// Is tells whether the event is the state event of this type and state key.
func (e *Event) Is(eventType, stateKey string) bool {
	return e.isState && e.typ == eventType && e.stateKey == stateKey
}

// Sender is who sent the event.
func (e *Event) Sender() matrix.UserID { return e.sender }

// RoomID is the event's room; for the create event of version 12 the room that it creates.
func (e *Event) RoomID() matrix.RoomID { return e.roomID }

// HasRoomID tells whether room_id stands in the event itself.
func (e *Event) HasRoomID() bool { return e.ownRoomID }

// Content is the content object. It must not be changed.
func (e *Event) Content() []byte { return e.content }

// ContentString is a string at the top level of the content, "" if there is none.
func (e *Event) ContentString(key string) string {
	return rawjson.Text(rawjson.Get(e.content, key))
}

// ContentValue is the JSON of a key at the top level of the content, nil if there is none.
func (e *Event) ContentValue(key string) []byte { return rawjson.Get(e.content, key) }

// Membership is content.membership of a member event, "" for others.
func (e *Event) Membership() Membership {
	if e.typ != TypeMember || !e.isState {
		return ""
	}
	return Membership(e.ContentString("membership"))
}

// Depth is the event's depth in the room's graph; 1 for the create event.
func (e *Event) Depth() int64 { return e.depth }

// OriginServerTS is when the sender's server made the event, in milliseconds since 1970.
func (e *Event) OriginServerTS() int64 { return e.ts }

// PrevEvents are the events that the event follows in the room's graph.
func (e *Event) PrevEvents() []matrix.EventID { return e.references(e.prevEvents) }

// AuthEvents are the events that authorise the event.
func (e *Event) AuthEvents() []matrix.EventID { return e.references(e.authEvents) }

// references reads the ids in a list of events: strings, or pairs of an id and hashes.
func (e *Event) references(list []byte) []matrix.EventID {
	if !e.rules.OwnEventIDs {
		return rawjson.Strings[matrix.EventID](list)
	}
	var ids []matrix.EventID
	for it := rawjson.Array(list); it.Next(); {
		pair := rawjson.Array(it.Value)
		if !pair.Next() {
			continue
		}
		if id, ok := rawjson.String(pair.Value); ok {
			ids = append(ids, matrix.EventID(id))
		}
	}
	return ids
}

// Redacts is the event that an m.room.redaction redacts, wherever its version keeps that; "" for others.
func (e *Event) Redacts() matrix.EventID { return e.redacts }

// JSON is the whole event in the federation format. It must not be changed.
func (e *Event) JSON() []byte { return e.json }
