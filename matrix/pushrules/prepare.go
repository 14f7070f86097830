package pushrules

import (
	"strings"

	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/matrix/internal/rawjson"
)

// Circumstances is what rules ask about the room at an event.
type Circumstances struct {
	// Members is how many users are joined.
	Members int
	// SenderCanNotify tells whether the sender's power suffices for a kind of notification, such
	// as "room": see auth.PowerLevels.CanNotify. nil is no.
	SenderCanNotify func(key string) bool
}

// Prepared is an event made ready for many evaluations. It does not change and may be shared.
type Prepared struct {
	event       *event.Event
	room        Circumstances
	hasMentions bool
	values      [slotCount]value
}

// value is a property of an event.
type value struct {
	raw    []byte // canonical JSON; nil if there is none, or only text
	text   string // of a string
	lower  string // the text in lower case
	isText bool
}

// json is the value as canonical JSON, nil if there is none.
func (v *value) json() []byte {
	if v.raw == nil && v.isText {
		return canonicaljson.AppendString(nil, v.text)
	}
	return v.raw
}

// slot is a property that is read once per event, as predefined rules look at it.
type slot uint8

const (
	slotNone slot = iota // any other property
	slotType
	slotSender
	slotRoomID
	slotStateKey
	slotBody
	slotMsgtype
	slotMembership
	slotMentionedUsers
	slotMentionsRoom
	slotRelType
	slotCount
)

// slotOf finds the slot of a property path.
func slotOf(path []string) slot {
	switch strings.Join(path, "\x00") {
	case "type":
		return slotType
	case "sender":
		return slotSender
	case "room_id":
		return slotRoomID
	case "state_key":
		return slotStateKey
	case "content\x00body":
		return slotBody
	case "content\x00msgtype":
		return slotMsgtype
	case "content\x00membership":
		return slotMembership
	case "content\x00m.mentions\x00user_ids":
		return slotMentionedUsers
	case "content\x00m.mentions\x00room":
		return slotMentionsRoom
	case "content\x00m.relates_to\x00rel_type":
		return slotRelType
	}
	return slotNone
}

// Prepare makes an event ready for evaluation.
func Prepare(e *event.Event, room Circumstances) *Prepared {
	p := &Prepared{event: e, room: room}
	p.values[slotType] = textValue(e.Type())
	p.values[slotSender] = textValue(string(e.Sender()))
	p.values[slotRoomID] = textValue(string(e.RoomID()))
	if e.IsState() {
		p.values[slotStateKey] = textValue(e.StateKeyValue())
	}
	for it := rawjson.Object(e.Content()); it.Next(); {
		switch string(it.Key) {
		case "body":
			p.values[slotBody] = rawValue(it.Value)
		case "msgtype":
			p.values[slotMsgtype] = rawValue(it.Value)
		case "membership":
			p.values[slotMembership] = rawValue(it.Value)
		case "m.mentions":
			p.hasMentions = true
			p.values[slotMentionedUsers] = rawValue(rawjson.Get(it.Value, "user_ids"))
			p.values[slotMentionsRoom] = rawValue(rawjson.Get(it.Value, "room"))
		case "m.relates_to":
			p.values[slotRelType] = rawValue(rawjson.Get(it.Value, "rel_type"))
		}
	}
	return p
}

// Event is the event that was prepared.
func (p *Prepared) Event() *event.Event { return p.event }

// value reads a property. Of those without a slot, path names it.
func (p *Prepared) value(s slot, path []string) *value {
	if s != slotNone {
		return &p.values[s]
	}
	object := p.event.Content()
	if path[0] == "content" {
		path = path[1:]
	} else {
		object = p.event.ClientJSON(true)
	}
	v := rawValue(rawjson.GetPath(object, path))
	return &v
}

func textValue(s string) value { return value{text: s, lower: strings.ToLower(s), isText: true} }

func rawValue(raw []byte) value {
	s, ok := rawjson.String(raw)
	return value{raw: raw, text: s, lower: strings.ToLower(s), isText: ok}
}
