package auth

import (
	"hongyan/matrix"
	"hongyan/matrix/event"
)

// State is a room's state as far as the rules read it. A cache of rooms keeps the parsed values
// and answers from them; Map does for a list of events.
type State interface {
	// Create is the create event, nil while the room has none.
	Create() *Create
	// PowerLevels is the power in the room, DefaultPowerLevels where it has no event for it. It is
	// not asked of a room without a create event.
	PowerLevels() *PowerLevels
	// JoinRule is content.join_rule of m.room.join_rules, JoinRuleInvite where there is none.
	JoinRule() event.JoinRule
	// Membership is a user's, "" for one without a member event.
	Membership(user matrix.UserID) event.Membership
	// ThirdPartyInvite is the m.room.third_party_invite event with this state key, or nil.
	ThirdPartyInvite(token string) *event.Event
}

// Key names a place in a room's state.
type Key struct {
	Type, StateKey string
}

// Map is a State made of events.
type Map struct {
	create      *Create
	powerLevels *PowerLevels
	events      map[Key]*event.Event
}

// NewMap reads the state that the events make; of several for one place the last counts. Power
// levels that are malformed, which no server would have allowed, are an error.
func NewMap(events ...*event.Event) (*Map, error) {
	m := &Map{events: make(map[Key]*event.Event, len(events))}
	for _, e := range events {
		if e.IsState() {
			m.events[Key{e.Type(), e.StateKeyValue()}] = e
		}
	}
	create := m.events[Key{event.TypeCreate, ""}]
	if create == nil {
		return m, nil
	}
	var err error
	if m.create, err = NewCreate(create); err != nil {
		return nil, err
	}
	m.powerLevels = DefaultPowerLevels(m.create)
	if e := m.events[Key{event.TypePowerLevels, ""}]; e != nil {
		m.powerLevels, err = ParsePowerLevels(m.create, e.Content())
	}
	return m, err
}

// Create implements State.
func (m *Map) Create() *Create { return m.create }

// PowerLevels implements State.
func (m *Map) PowerLevels() *PowerLevels { return m.powerLevels }

// JoinRule implements State.
func (m *Map) JoinRule() event.JoinRule { return JoinRuleOf(m.events[Key{event.TypeJoinRules, ""}]) }

// Membership implements State.
func (m *Map) Membership(user matrix.UserID) event.Membership {
	if e := m.events[Key{event.TypeMember, string(user)}]; e != nil {
		return e.Membership()
	}
	return ""
}

// ThirdPartyInvite implements State.
func (m *Map) ThirdPartyInvite(token string) *event.Event {
	return m.events[Key{event.TypeThirdPartyInvite, token}]
}

// Event is the event at a place, nil if there is none.
func (m *Map) Event(key Key) *event.Event { return m.events[key] }

// JoinRuleOf reads an m.room.join_rules event; nil, or one without a rule, is JoinRuleInvite.
func JoinRuleOf(e *event.Event) event.JoinRule {
	if e == nil {
		return event.JoinRuleInvite
	}
	if rule := e.ContentString("join_rule"); rule != "" {
		return event.JoinRule(rule)
	}
	return event.JoinRuleInvite
}
