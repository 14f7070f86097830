package filter

import (
	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/internal/rawjson"
)

// MaxList is how many elements a list of a filter may have.
const MaxList = 500

// Parse reads a filter. What is no JSON is M_NOT_JSON; a wrong shape, an invalid id, a negative
// limit or a list that is too long is M_BAD_JSON.
func Parse(raw []byte) (*Filter, error) {
	raw, err := object(raw)
	if err != nil {
		return nil, err
	}
	f := Default()
	d := decoder{}
	for it := rawjson.Object(raw); it.Next(); {
		switch key, v := string(it.Key), it.Value; key {
		case "event_fields":
			f.EventFields = d.strings(key, v)
		case "event_format":
			f.EventFormat = d.format(v)
		case "presence":
			f.Presence = d.eventFilter(key, v)
		case "account_data":
			f.AccountData = d.eventFilter(key, v)
		case "room":
			f.Room = d.roomFilter(v)
		}
	}
	if d.err != nil {
		return nil, d.err
	}
	f.prepare()
	return f, nil
}

// ParseRoomEvents reads a RoomEventFilter by itself, as /messages, /context and search take it.
// The errors are those of Parse.
func ParseRoomEvents(raw []byte) (*RoomEventFilter, error) {
	raw, err := object(raw)
	if err != nil {
		return nil, err
	}
	d := decoder{}
	f := d.roomEventFilter("filter", raw)
	if d.err != nil {
		return nil, d.err
	}
	f.prepare()
	return &f, nil
}

// object checks that raw is a JSON object and normalises it, so that each key stands there once.
func object(raw []byte) ([]byte, error) {
	raw, err := canonicaljson.Normalize(raw)
	if err != nil {
		return nil, err
	}
	if !rawjson.IsObject(raw) {
		return nil, matrix.Errorf(matrix.CodeBadJSON, "The filter is invalid: it must be an object.")
	}
	return raw, nil
}

func (f *Filter) prepare() {
	f.Presence.prepare()
	f.AccountData.prepare()
	r := &f.Room
	r.rooms, r.notRooms = newSet(r.Rooms), newSet(r.NotRooms)
	for _, e := range []*RoomEventFilter{&r.Timeline, &r.State, &r.Ephemeral, &r.AccountData} {
		e.prepare()
	}
	f.fields = newFieldTree(f.EventFields)
	f.isTrivial = f.fields == nil && f.EventFormat == FormatClient && f.Presence.PassesAll() && f.AccountData.PassesAll() &&
		r.Rooms == nil && len(r.NotRooms) == 0 && r.Timeline.PassesAll() && r.State.PassesAll() &&
		r.Ephemeral.PassesAll() && r.AccountData.PassesAll()
}

func (e *EventFilter) prepare() {
	e.types, e.notTypes = newPatterns(e.Types), newPatterns(e.NotTypes)
	e.senders, e.notSenders = newSet(e.Senders), newSet(e.NotSenders)
}

func (r *RoomEventFilter) prepare() {
	r.EventFilter.prepare()
	r.rooms, r.notRooms = newSet(r.Rooms), newSet(r.NotRooms)
	r.relTypes, r.notRelTypes = newSet(r.RelTypes), newSet(r.NotRelTypes)
}

// decoder reads the members of a filter; the first fault is kept.
type decoder struct{ err error }

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = matrix.Errorf(matrix.CodeBadJSON, "The filter is invalid: "+format, args...)
	}
}

func (d *decoder) roomFilter(raw []byte) RoomFilter {
	r := Default().Room
	if !d.object("room", raw) {
		return r
	}
	for it := rawjson.Object(raw); it.Next(); {
		switch key, v := string(it.Key), it.Value; key {
		case "rooms":
			r.Rooms = d.rooms(key, v)
		case "not_rooms":
			r.NotRooms = d.rooms(key, v)
		case "include_leave":
			r.IncludeLeave = d.boolean(key, v)
		case "timeline":
			r.Timeline = d.roomEventFilter(key, v)
		case "state":
			r.State = d.roomEventFilter(key, v)
		case "ephemeral":
			r.Ephemeral = d.roomEventFilter(key, v)
		case "account_data":
			r.AccountData = d.roomEventFilter(key, v)
		}
	}
	return r
}

func (d *decoder) eventFilter(name string, raw []byte) EventFilter {
	e := EventFilter{Limit: -1}
	if d.object(name, raw) {
		for it := rawjson.Object(raw); it.Next(); {
			d.eventMember(&e, string(it.Key), it.Value)
		}
	}
	return e
}

func (d *decoder) eventMember(e *EventFilter, key string, v []byte) {
	switch key {
	case "types":
		e.Types = d.strings(key, v)
	case "not_types":
		e.NotTypes = d.strings(key, v)
	case "senders":
		e.Senders = d.users(key, v)
	case "not_senders":
		e.NotSenders = d.users(key, v)
	case "limit":
		e.Limit = d.limit(v)
	}
}

func (d *decoder) roomEventFilter(name string, raw []byte) RoomEventFilter {
	r := *DefaultRoomEvents()
	if !d.object(name, raw) {
		return r
	}
	for it := rawjson.Object(raw); it.Next(); {
		switch key, v := string(it.Key), it.Value; key {
		case "rooms":
			r.Rooms = d.rooms(key, v)
		case "not_rooms":
			r.NotRooms = d.rooms(key, v)
		case "contains_url":
			r.ContainsURL = d.optionalBoolean(key, v)
		case "lazy_load_members":
			r.LazyLoadMembers = d.boolean(key, v)
		case "include_redundant_members":
			r.IncludeRedundantMembers = d.boolean(key, v)
		case "unread_thread_notifications":
			r.UnreadThreadNotifications = d.boolean(key, v)
		case "related_by_rel_types":
			r.RelatedByRelTypes = d.strings(key, v)
		case "related_by_senders":
			r.RelatedBySenders = d.users(key, v)
		case "rel_types", "org.matrix.msc3874.rel_types":
			r.RelTypes = d.strings(key, v)
		case "not_rel_types", "org.matrix.msc3874.not_rel_types":
			r.NotRelTypes = d.strings(key, v)
		default:
			d.eventMember(&r.EventFilter, key, v)
		}
	}
	return r
}
