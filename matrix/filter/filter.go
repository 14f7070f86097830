package filter

// Format is the format of the events in an answer.
type Format string

// The event formats.
const (
	FormatClient     Format = "client"
	FormatFederation Format = "federation"
)

// Filter is a whole filter, as /sync takes it.
type Filter struct {
	// EventFields are the paths of what is kept of each event; none means everything.
	EventFields []string
	EventFormat Format
	Presence    EventFilter
	AccountData EventFilter
	Room        RoomFilter

	fields    *fieldTree
	isTrivial bool
}

// RoomFilter says which rooms come, and what of them.
type RoomFilter struct {
	Rooms, NotRooms []string
	IncludeLeave    bool
	Timeline        RoomEventFilter
	State           RoomEventFilter
	Ephemeral       RoomEventFilter
	AccountData     RoomEventFilter

	rooms, notRooms set
}

// EventFilter says which events come, whatever room they are in.
type EventFilter struct {
	Types, NotTypes     []string
	Senders, NotSenders []string
	// Limit is how many events come at most, -1 where the filter does not say. 0 is a limit.
	Limit int

	types, notTypes     patterns
	senders, notSenders set
}

// RoomEventFilter says which events of rooms come.
type RoomEventFilter struct {
	EventFilter
	Rooms, NotRooms []string
	// ContainsURL lets only events with a content.url through if true, without if false.
	ContainsURL *bool
	// LazyLoadMembers leaves members out of the state who are not needed to show the timeline.
	LazyLoadMembers bool
	// IncludeRedundantMembers repeats members which the client was told before.
	IncludeRedundantMembers bool
	// UnreadThreadNotifications counts unread events by thread.
	UnreadThreadNotifications bool
	// RelatedByRelTypes and RelatedBySenders let only events through to which others relate in one
	// of these ways, by one of these users: for who reads the relations. Match does not know them.
	RelatedByRelTypes, RelatedBySenders []string
	// RelTypes and NotRelTypes go by the relation that an event itself has to another.
	RelTypes, NotRelTypes []string

	rooms, notRooms       set
	relTypes, notRelTypes set
}

// Subject is what a filter looks at in an event.
type Subject struct {
	Type, Sender, RoomID string
	// HasURL says that content has the key url.
	HasURL bool
	// RelType is content.m.relates_to.rel_type.
	RelType string
}

// Default is the filter of a request without one. It lets everything through.
func Default() *Filter {
	f := &Filter{EventFormat: FormatClient}
	for _, e := range []*EventFilter{
		&f.Presence, &f.AccountData, &f.Room.Timeline.EventFilter, &f.Room.State.EventFilter,
		&f.Room.Ephemeral.EventFilter, &f.Room.AccountData.EventFilter,
	} {
		e.Limit = -1
	}
	f.prepare()
	return f
}

// DefaultRoomEvents is the room event filter of a request without one.
func DefaultRoomEvents() *RoomEventFilter {
	return &RoomEventFilter{EventFilter: EventFilter{Limit: -1}}
}

// IsTrivial tells whether the filter lets every event of every room through, whole and in the
// client format, so that what was encoded once for everybody serves. Limits and lazy-loaded
// members do not count.
func (f *Filter) IsTrivial() bool { return f.isTrivial }

// MatchRoom tells whether a room comes at all.
func (r *RoomFilter) MatchRoom(roomID string) bool {
	return matchLists(r.Rooms, &r.rooms, r.NotRooms, &r.notRooms, roomID)
}

// PassesAll tells whether the filter lets every event through.
func (e *EventFilter) PassesAll() bool {
	return e.Types == nil && e.Senders == nil && len(e.NotTypes) == 0 && len(e.NotSenders) == 0
}

// PassesNone tells whether the filter lets no event through, so that there is no need to look.
func (e *EventFilter) PassesNone() bool {
	return e.Limit == 0 || e.Types != nil && len(e.Types) == 0 || e.Senders != nil && len(e.Senders) == 0
}

// Match tells whether the filter lets an event through.
func (e *EventFilter) Match(eventType, sender string) bool {
	if e.Types != nil && !e.types.match(eventType) || e.notTypes.match(eventType) {
		return false
	}
	return matchLists(e.Senders, &e.senders, e.NotSenders, &e.notSenders, sender)
}

// LimitOr is the filter's limit, def where it has none, and most at most.
func (e *EventFilter) LimitOr(def, most int) int {
	if e.Limit < 0 {
		return min(def, most)
	}
	return min(e.Limit, most)
}

// PassesAll tells whether the filter lets every event of every room through. Filters by
// relations to an event count as ones that do not.
func (r *RoomEventFilter) PassesAll() bool {
	return r.EventFilter.PassesAll() && r.Rooms == nil && len(r.NotRooms) == 0 && r.ContainsURL == nil &&
		r.RelTypes == nil && len(r.NotRelTypes) == 0 && !r.NeedsRelations()
}

// PassesNone tells whether the filter lets no event through.
func (r *RoomEventFilter) PassesNone() bool {
	return r.EventFilter.PassesNone() || r.Rooms != nil && len(r.Rooms) == 0
}

// NeedsRelations tells whether the filter depends on which events relate to an event.
func (r *RoomEventFilter) NeedsRelations() bool {
	return r.RelatedByRelTypes != nil || r.RelatedBySenders != nil
}

// MatchRoom tells whether events of a room may come.
func (r *RoomEventFilter) MatchRoom(roomID string) bool {
	return matchLists(r.Rooms, &r.rooms, r.NotRooms, &r.notRooms, roomID)
}

// Match tells whether the filter lets an event through, apart from which events relate to it.
func (r *RoomEventFilter) Match(s Subject) bool {
	switch {
	case !r.EventFilter.Match(s.Type, s.Sender), !r.MatchRoom(s.RoomID):
		return false
	case r.ContainsURL != nil && *r.ContainsURL != s.HasURL:
		return false
	}
	return matchLists(r.RelTypes, &r.relTypes, r.NotRelTypes, &r.notRelTypes, s.RelType)
}

// MatchRelation tells whether a relation of this type by this sender satisfies
// related_by_rel_types and related_by_senders.
func (r *RoomEventFilter) MatchRelation(relType, sender string) bool {
	return contains(r.RelatedByRelTypes, relType) && contains(r.RelatedBySenders, sender)
}
