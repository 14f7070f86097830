package auth

import (
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/matrix/internal/rawjson"
)

// Select returns the places of the state whose events an event names as auth_events (server-server
// API, "Auth events selection"). A State must know at least these, and the create event, to
// authorise it. Of a Proto it reads RoomVersion, Sender, Type, StateKey and Content.
func Select(p *event.Proto) []Key {
	rules := p.RoomVersion.Rules()
	if rules == nil || p.Type == event.TypeCreate {
		return nil
	}
	keys := make([]Key, 0, 6)
	if !rules.RoomIDFromCreate {
		keys = append(keys, Key{event.TypeCreate, ""})
	}
	keys = append(keys, Key{event.TypePowerLevels, ""}, Key{event.TypeMember, string(p.Sender)})
	if p.Type == event.TypeMember && p.StateKey != nil {
		keys = selectMember(keys, rules, p)
	}
	return keys
}

func selectMember(keys []Key, rules *event.Rules, p *event.Proto) []Key {
	if *p.StateKey != string(p.Sender) {
		keys = append(keys, Key{event.TypeMember, *p.StateKey})
	}
	membership := event.Membership(rawjson.Text(rawjson.Get(p.Content, "membership")))
	switch membership {
	case event.Join, event.Invite, event.Knock:
		keys = append(keys, Key{event.TypeJoinRules, ""})
	}
	if invite := rawjson.Get(p.Content, "third_party_invite"); membership == event.Invite && invite != nil {
		if token, ok := rawjson.String(rawjson.Get(rawjson.Get(invite, "signed"), "token")); ok {
			keys = append(keys, Key{event.TypeThirdPartyInvite, token})
		}
	}
	if membership == event.Join && rules.Restricted {
		via := rawjson.Text(rawjson.Get(p.Content, "join_authorised_via_users_server"))
		if via != "" && via != string(p.Sender) && via != *p.StateKey {
			keys = append(keys, Key{event.TypeMember, via})
		}
	}
	return keys
}

// EventsFor returns the auth_events of an event. lookup gives the id of the event at a place of
// the state, "" if there is none.
func EventsFor(p *event.Proto, lookup func(Key) matrix.EventID) []matrix.EventID {
	keys := Select(p)
	ids := make([]matrix.EventID, 0, len(keys))
	for _, key := range keys {
		if id := lookup(key); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// CheckSelection refuses an event whose auth_events, given here, are not a selection that Select
// would make: the rules "considering the event's auth_events".
func CheckSelection(e *event.Event, authEvents []*event.Event) error {
	wanted := map[Key]bool{}
	for _, key := range Select(&event.Proto{
		RoomVersion: e.Version(), Sender: e.Sender(), Type: e.Type(), StateKey: e.StateKey(), Content: e.Content(),
	}) {
		wanted[key] = true
	}
	seen := map[Key]bool{}
	for _, a := range authEvents {
		key := Key{a.Type(), a.StateKeyValue()}
		switch {
		case !a.IsState() || !wanted[key]:
			return forbidden("The event names %s, which does not authorise it, in auth_events.", a.Type())
		case seen[key]:
			return forbidden("The event names two events of type %s in auth_events.", a.Type())
		case a.RoomID() != e.RoomID():
			return forbidden("The event names an event of another room in auth_events.")
		}
		seen[key] = true
	}
	create := Key{event.TypeCreate, ""}
	if wanted[create] && !seen[create] {
		return forbidden("The event does not name the create event in auth_events.")
	}
	return nil
}
