package event

import (
	"strconv"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/internal/rawjson"
)

// AppendClient appends the event in the client format without unsigned (client-server API, "Room
// event format"): once per event, for every reader. room_id stands in it if wanted; /sync does
// without. What a redaction redacts stands at top level and in content, whatever its version
// (rooms/v11, "Moving the redacts property").
func (e *Event) AppendClient(dst []byte, withRoomID bool) []byte {
	dst = append(dst, `{"content":`...)
	if e.redacts != "" && !e.rules.RedactsInContent && rawjson.Get(e.content, "redacts") == nil {
		dst = append(dst, insertString(e.content, "redacts", string(e.redacts))...)
	} else {
		dst = append(dst, e.content...)
	}
	dst = canonicaljson.AppendString(append(dst, `,"event_id":`...), string(e.id))
	dst = strconv.AppendInt(append(dst, `,"origin_server_ts":`...), e.ts, 10)
	if e.redacts != "" {
		dst = canonicaljson.AppendString(append(dst, `,"redacts":`...), string(e.redacts))
	}
	if withRoomID {
		dst = canonicaljson.AppendString(append(dst, `,"room_id":`...), string(e.roomID))
	}
	dst = canonicaljson.AppendString(append(dst, `,"sender":`...), string(e.sender))
	return e.appendKeyAndType(dst)
}

// ClientJSON is AppendClient into a slice of its own, with room to spare for AppendUnsigned.
func (e *Event) ClientJSON(withRoomID bool) []byte {
	return e.AppendClient(make([]byte, 0, len(e.content)+len(e.sender)+len(e.typ)+len(e.stateKey)+256), withRoomID)
}

// AppendStripped appends the event as stripped state: content, sender, state_key and type, for
// people who are invited or who knock (client-server API, "Stripped state").
func (e *Event) AppendStripped(dst []byte) []byte {
	dst = append(append(dst, `{"content":`...), e.content...)
	dst = canonicaljson.AppendString(append(dst, `,"sender":`...), string(e.sender))
	return e.appendKeyAndType(dst)
}

func (e *Event) appendKeyAndType(dst []byte) []byte {
	if e.isState {
		dst = canonicaljson.AppendString(append(dst, `,"state_key":`...), e.stateKey)
	}
	dst = canonicaljson.AppendString(append(dst, `,"type":`...), e.typ)
	return append(dst, '}')
}

// Unsigned is what one reader is told about an event besides the event (client-server API,
// "UnsignedData"). What is zero is left out, except the age.
type Unsigned struct {
	// Age is the time since the event was made, in milliseconds. It may be negative.
	Age int64
	// NoAge leaves the age out.
	NoAge bool
	// Membership is the reader's own at the event.
	Membership Membership
	// TransactionID is only for the device that sent the event.
	TransactionID string
	// PrevContent is the content, JSON, of the state event that was replaced.
	PrevContent []byte
	// ReplacesState is the state event that was replaced.
	ReplacesState matrix.EventID
	// RedactedBecause is the redaction, JSON in the client format.
	RedactedBecause []byte
	// Relations is the JSON of "m.relations", the aggregations.
	Relations []byte
}

// AppendUnsigned appends an event in the client format with unsigned spliced in. The client
// event must not have one.
func AppendUnsigned(dst, client []byte, u Unsigned) []byte {
	dst = append(dst, client[:len(client)-1]...)
	dst = append(dst, `,"unsigned":{`...)
	if !u.NoAge {
		dst = strconv.AppendInt(append(dst, `"age":`...), u.Age, 10)
	}
	if u.Relations != nil {
		dst = append(canonicaljson.AppendKey(dst, "m.relations"), u.Relations...)
	}
	if u.Membership != "" {
		dst = canonicaljson.AppendString(canonicaljson.AppendKey(dst, "membership"), string(u.Membership))
	}
	if u.PrevContent != nil {
		dst = append(canonicaljson.AppendKey(dst, "prev_content"), u.PrevContent...)
	}
	if u.RedactedBecause != nil {
		dst = append(canonicaljson.AppendKey(dst, "redacted_because"), u.RedactedBecause...)
	}
	if u.ReplacesState != "" {
		dst = canonicaljson.AppendString(canonicaljson.AppendKey(dst, "replaces_state"), string(u.ReplacesState))
	}
	if u.TransactionID != "" {
		dst = canonicaljson.AppendString(canonicaljson.AppendKey(dst, "transaction_id"), u.TransactionID)
	}
	return append(dst, '}', '}')
}

// insertString returns a canonical object with a string added, or replaced, at its place.
func insertString(object []byte, key, value string) []byte {
	out := make([]byte, 0, len(object)+len(key)+len(value)+16)
	out = append(out, '{')
	added := false
	add := func() {
		out = canonicaljson.AppendString(canonicaljson.AppendKey(out, key), value)
		added = true
	}
	for it := rawjson.Object(object); it.Next(); {
		name := rawjson.Key(it.Key)
		if !added && name >= key {
			add()
		}
		if name != key {
			out = append(appendRawKey(out, it.Key), it.Value...)
		}
	}
	if !added {
		add()
	}
	return append(out, '}')
}
