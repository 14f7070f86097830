package state

import (
	"iter"

	"hongyan/matrix/event"
)

// Memberships as m.room.member has them. A user without a member event has none: "".
const (
	Join   = "join"
	Invite = "invite"
	Knock  = "knock"
	Leave  = "leave"
	Ban    = "ban"
)

// TypeMember is the type of member events.
const TypeMember = "m.room.member"

// Member is what a user is in a room: the essence of a member event.
type Member struct {
	UserID     string
	Membership string
	EventID    string
	// Sender made the user what they are; who invited them, for an invite.
	Sender string
	// Seq is where the member event stands in the room.
	Seq int64
}

func (m *Member) key() string { return m.UserID }

// Entry is a state event that is no member event.
type Entry struct {
	Type, Key string
	EventID   string
	Seq       int64
	// Event is kept for the types that rules need at every event (see Kept); nil for others.
	Event *event.Event

	// id is entryKey, from when the entry is in a state.
	id string
}

func (e *Entry) key() string { return e.id }

func (e *Entry) identify() {
	if e.id == "" {
		e.id = entryKey(e.Type, e.Key)
	}
}

// entryKey joins a type and a state key. Neither holds NUL: databases do not take it, so requests with it are refused.
func entryKey(typ, key string) string { return typ + "\x00" + key }

// Kept tells whether the event of a state entry is kept in memory.
func Kept(typ, key string) bool {
	if key != "" {
		return false
	}
	switch typ {
	case "m.room.create", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility",
		"m.room.guest_access", "m.room.canonical_alias":
		return true
	}
	return false
}

// State is the state of a room at one point. It is immutable; its zero value is that of a room without events.
type State struct {
	other   table[Entry]
	members table[Member]
	counts  [5]int // by index of membership
	bytes   int
}

// New makes the state that has these entries and members, each key once.
func New(entries []*Entry, members []*Member) State {
	s := State{}
	for _, e := range entries {
		e.identify()
		s.bytes += e.size()
	}
	s.other, s.members = build(entries), build(members)
	for _, m := range members {
		s.bytes += m.size()
		s.counts[index(m.Membership)]++
	}
	return s
}

// Get returns the entry of a type and state key, or nil. Member events are not entries: see Member.
func (s State) Get(typ, key string) *Entry { return get(s.other, entryKey(typ, key)) }

// Member returns what the user is in the room, or nil if they never were anything.
func (s State) Member(userID string) *Member { return get(s.members, userID) }

// Membership returns the user's membership, or "".
func (s State) Membership(userID string) string {
	if m := s.Member(userID); m != nil {
		return m.Membership
	}
	return ""
}

// Seq returns the sequence number of the state event of a type and state key, members included, or 0.
func (s State) Seq(typ, key string) int64 {
	if typ == TypeMember {
		if m := s.Member(key); m != nil {
			return m.Seq
		}
		return 0
	}
	if e := s.Get(typ, key); e != nil {
		return e.Seq
	}
	return 0
}

// EventID returns the id of the state event of a type and state key, members included, or "".
func (s State) EventID(typ, key string) string {
	if typ == TypeMember {
		if m := s.Member(key); m != nil {
			return m.EventID
		}
		return ""
	}
	if e := s.Get(typ, key); e != nil {
		return e.EventID
	}
	return ""
}

// Event returns the kept event of a type with an empty state key, or nil.
func (s State) Event(typ string) *event.Event {
	if e := s.Get(typ, ""); e != nil {
		return e.Event
	}
	return nil
}

// Count returns how many users have a membership.
func (s State) Count(membership string) int { return s.counts[index(membership)] }

// Members ranges over all members in no order.
func (s State) Members() iter.Seq[*Member] { return s.members.all() }

// Entries ranges over all entries in no order.
func (s State) Entries() iter.Seq[*Entry] { return s.other.all() }

// Others returns how many state events there are that are no member events.
func (s State) Others() int { return s.other.size }

// Len returns how many state events there are, members included.
func (s State) Len() int { return s.other.size + s.members.size }

// Bytes estimates the memory that the state takes.
func (s State) Bytes() int { return s.bytes }

// WithEntry returns the state after e.
func (s State) WithEntry(e *Entry) State {
	e.identify()
	var old *Entry
	s.other, old = with(s.other, e)
	s.bytes += e.size()
	if old != nil {
		s.bytes -= old.size()
	}
	return s
}

// WithMember returns the state after m.
func (s State) WithMember(m *Member) State {
	var old *Member
	s.members, old = with(s.members, m)
	s.counts[index(m.Membership)]++
	s.bytes += m.size()
	if old != nil {
		s.counts[index(old.Membership)]--
		s.bytes -= old.size()
	}
	return s
}

// With returns the state after all of these.
func (s State) With(entries []*Entry, members []*Member) State {
	for _, e := range entries {
		s = s.WithEntry(e)
	}
	for _, m := range members {
		s = s.WithMember(m)
	}
	return s
}

// index numbers the memberships. An unknown one, which no room version allows, counts as a leave.
func index(membership string) int {
	switch membership {
	case Join:
		return 0
	case Invite:
		return 1
	case Knock:
		return 2
	case Ban:
		return 3
	default:
		return 4
	}
}

// Sizes in bytes: the structs, their place in a bucket, and an allocation's overhead for each string.
const (
	entrySize  = 144
	memberSize = 128
	// parsedFactor is how much larger a parsed event is than its JSON.
	parsedFactor = 2
)

func (e *Entry) size() int {
	n := entrySize + 2*(len(e.Type)+len(e.Key)) + len(e.EventID)
	if e.Event != nil {
		n += parsedFactor * len(e.Event.JSON())
	}
	return n
}

func (m *Member) size() int { return memberSize + len(m.UserID) + len(m.EventID) + len(m.Sender) }
