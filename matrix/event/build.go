package event

import (
	"fmt"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/internal/rawjson"
)

// Limits of one event (client-server API, "Size limits"), in bytes.
const (
	MaxSize       = 65536
	MaxFieldBytes = 255
)

// Proto is what is decided about an event before it is built.
type Proto struct {
	RoomVersion RoomVersion
	// RoomID is empty for the create event of a version which makes the room id from it.
	RoomID matrix.RoomID
	Sender matrix.UserID
	Type   string
	// StateKey is nil for an event that is not a state event.
	StateKey *string
	// Content is a canonical JSON object: see canonicaljson.CanonicalizeObject.
	Content []byte
	// Redacts is what an m.room.redaction redacts; Build puts it where the version wants it.
	Redacts    matrix.EventID
	PrevEvents []matrix.EventID
	AuthEvents []matrix.EventID
	// EventID and ReferenceHashes are for versions with OwnEventIDs: the event's id, and Event.ReferenceHash of all
	// PrevEvents and AuthEvents.
	EventID         matrix.EventID
	ReferenceHashes map[matrix.EventID]string
	// Depth is one more than the greatest depth among PrevEvents, at most canonicaljson.MaxInt.
	Depth int64
	// OriginServerTS is the present, in milliseconds since 1970.
	OriginServerTS int64
}

// Build hashes and signs an event. An event beyond the size limits is M_TOO_LARGE, a NUL in its
// type or state key M_INVALID_PARAM; any other error is a fault of the caller.
func Build(p Proto, signer *Signer) (*Event, error) {
	rules := p.RoomVersion.Rules()
	if rules == nil {
		return nil, matrix.Errorf(matrix.CodeUnsupportedRoomVersion, "This server does not support room version %q.", truncate(string(p.RoomVersion)))
	}
	if err := p.check(rules); err != nil {
		return nil, err
	}
	if p.Redacts != "" && rules.RedactsInContent {
		p.Content = insertString(p.Content, "redacts", string(p.Redacts))
	}
	return assemble(rules, &p, signer)
}

func (p *Proto) check(rules *Rules) error {
	switch {
	case len(p.Type) > MaxFieldBytes:
		return tooLarge("type", MaxFieldBytes)
	case p.StateKey != nil && len(*p.StateKey) > MaxFieldBytes:
		return tooLarge("state_key", MaxFieldBytes)
	case len(p.Sender) > MaxFieldBytes:
		return tooLarge("sender", MaxFieldBytes)
	case len(p.RoomID) > MaxFieldBytes:
		return tooLarge("room_id", MaxFieldBytes)
	case len(p.Content) > MaxSize:
		return tooLarge("event", MaxSize)
	case strings.IndexByte(p.Type, 0) >= 0 || p.StateKey != nil && strings.IndexByte(*p.StateKey, 0) >= 0:
		return matrix.Errorf(matrix.CodeInvalidParam, "An event's type and state_key may not have a NUL character.")
	case p.Type == "" || p.Sender == "":
		return fmt.Errorf("build event: type or sender is missing")
	case len(p.Content) < 2 || p.Content[0] != '{' || p.Content[len(p.Content)-1] != '}':
		return fmt.Errorf("build event %s: its content is no JSON object", p.Type)
	case p.Depth < 0 || p.Depth > canonicaljson.MaxInt || p.OriginServerTS < 0 || p.OriginServerTS > canonicaljson.MaxInt:
		return fmt.Errorf("build event %s: depth %d or timestamp %d is out of range", p.Type, p.Depth, p.OriginServerTS)
	case (p.RoomID == "") != (rules.RoomIDFromCreate && p.Type == TypeCreate && p.StateKey != nil && *p.StateKey == ""):
		return fmt.Errorf("build event %s: room id %q does not fit room version %s", p.Type, p.RoomID, rules.Version)
	case (p.EventID != "") != rules.OwnEventIDs:
		return fmt.Errorf("build event %s: event id %q does not fit room version %s", p.Type, p.EventID, rules.Version)
	}
	return p.checkReferences(rules)
}

func (p *Proto) checkReferences(rules *Rules) error {
	if !rules.OwnEventIDs {
		return nil
	}
	for _, list := range [...][]matrix.EventID{p.PrevEvents, p.AuthEvents} {
		for _, id := range list {
			if p.ReferenceHashes[id] == "" {
				return fmt.Errorf("build event %s: the reference hash of %s is missing", p.Type, id)
			}
		}
	}
	return nil
}

// appendReferences appends a list of events as the version names them.
func (p *Proto) appendReferences(dst []byte, rules *Rules, ids []matrix.EventID) []byte {
	if !rules.OwnEventIDs {
		return canonicaljson.AppendStrings(dst, ids)
	}
	dst = append(dst, '[')
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = canonicaljson.AppendString(append(dst, '['), string(id))
		dst = canonicaljson.AppendString(append(dst, `,{"sha256":`...), p.ReferenceHashes[id])
		dst = append(dst, `}]`...)
	}
	return append(dst, ']')
}

func tooLarge(what string, limit int) error {
	return matrix.Errorf(matrix.CodeTooLarge, "The %s is larger than %d bytes.", what, limit)
}

// assemble writes the event's members in the order of canonical JSON, three times over the same
// parts: all of them for the content hash, the redacted ones and the hash for signature and id,
// and everything for the event.
func assemble(rules *Rules, p *Proto, signer *Signer) (*Event, error) {
	work := make([]byte, 0, 2*p.size())
	work = append(work, `{"auth_events":`...)
	work = p.appendReferences(work, rules, p.AuthEvents)
	work = append(work, `,"content":`...)
	content := len(work)
	work = append(work, p.Content...)
	depth := len(work)
	work = append(work, `,"depth":`...)
	work = canonicaljson.AppendInt(work, p.Depth)
	if p.EventID != "" {
		work = canonicaljson.AppendString(append(work, `,"event_id":`...), string(p.EventID))
	}
	middle := len(work)
	work = append(work, `,"origin_server_ts":`...)
	work = canonicaljson.AppendInt(work, p.OriginServerTS)
	work = append(work, `,"prev_events":`...)
	work = p.appendReferences(work, rules, p.PrevEvents)
	redacts := len(work)
	if p.Redacts != "" && !rules.RedactsInContent {
		work = canonicaljson.AppendString(append(work, `,"redacts":`...), string(p.Redacts))
	}
	tail := len(work)
	work = p.appendTail(work)
	end := len(work)
	work = p.appendEnd(work)
	hashed := len(work)

	var hashBuf [64]byte
	hashes := appendHashes(hashBuf[:0], work)
	work = append(work, work[:content]...)
	work = appendRedactedContent(work, rules, p.Type, p.Content)
	work = append(work, work[depth:middle]...)
	work = append(work, hashes...)
	work = append(work, work[middle:redacts]...)
	work = append(work, work[tail:hashed]...)
	signed := work[hashed:]

	json := make([]byte, 0, hashed+len(hashes)+len(signer.prefix)+len(signer.suffix)+104)
	json = append(json, work[:middle]...)
	json = append(json, hashes...)
	json = append(json, work[middle:end]...)
	json = append(json, `,"signatures":`...)
	json = signer.appendSignatures(json, signed)
	json = append(json, work[end:hashed]...)
	if len(json) > MaxSize {
		return nil, tooLarge("event", MaxSize)
	}
	id := p.EventID
	if id == "" {
		id = hashID(rules, signed)
	}
	return p.event(rules, id, json, content), nil
}

// size is about how long the event becomes without hashes and signatures.
func (p *Proto) size() int {
	reference := 52
	if p.EventID != "" {
		reference = 128
	}
	return 320 + len(p.Content) + reference*(len(p.PrevEvents)+len(p.AuthEvents)) + len(p.Type) + len(p.Sender) + len(p.RoomID)
}

func (p *Proto) appendTail(dst []byte) []byte {
	if p.RoomID != "" {
		dst = canonicaljson.AppendString(append(dst, `,"room_id":`...), string(p.RoomID))
	}
	return canonicaljson.AppendString(append(dst, `,"sender":`...), string(p.Sender))
}

func (p *Proto) appendEnd(dst []byte) []byte {
	if p.StateKey != nil {
		dst = canonicaljson.AppendString(append(dst, `,"state_key":`...), *p.StateKey)
	}
	dst = canonicaljson.AppendString(append(dst, `,"type":`...), p.Type)
	return append(dst, '}')
}

// event is what Parse would read from json. contentAt is where its content begins.
func (p *Proto) event(rules *Rules, id matrix.EventID, json []byte, contentAt int) *Event {
	e := &Event{
		rules: rules, id: id, json: json, typ: p.Type, isState: p.StateKey != nil,
		roomID: p.RoomID, ownRoomID: p.RoomID != "", sender: p.Sender, depth: p.Depth, ts: p.OriginServerTS,
		content: json[contentAt : contentAt+len(p.Content)],
	}
	if p.StateKey != nil {
		e.stateKey = *p.StateKey
	}
	if p.RoomID == "" {
		e.roomID = id.RoomID()
	}
	if p.Type == TypeRedaction {
		e.redacts = p.Redacts
		if rules.RedactsInContent {
			e.redacts = matrix.EventID(e.ContentString("redacts"))
		}
	}
	e.authEvents = json[len(`{"auth_events":`) : contentAt-len(`,"content":`)]
	e.prevEvents = rawjson.Get(json, "prev_events")
	return e
}
