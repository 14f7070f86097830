package auth

import (
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/matrix/internal/rawjson"
)

// Allowed says whether the state before the event allows it: nil, or M_FORBIDDEN with what is
// missing. The rules about auth_events are CheckSelection's; an event built with EventsFor meets them.
func Allowed(e *event.Event, state State) error {
	if e.Type() == event.TypeCreate {
		return createAllowed(e)
	}
	create := state.Create()
	if create == nil || create.RoomID != e.RoomID() {
		return forbidden("The room does not exist.")
	}
	if !create.Federate && e.Sender().Server() != create.Sender.Server() {
		return forbidden("The room does not admit users of other servers.")
	}
	if e.Type() == event.TypeAliases && e.Rules().AliasesRule {
		return aliasesAllowed(e)
	}
	if e.Type() == event.TypeMember {
		return memberAllowed(e, state)
	}
	if state.Membership(e.Sender()) != event.Join {
		return forbidden("You are not in the room.")
	}
	levels := state.PowerLevels()
	level := levels.UserLevel(e.Sender())
	if e.Type() == event.TypeThirdPartyInvite {
		return needLevel(level, levels.Invite, "invite others")
	}
	if needed := levels.EventLevel(e.Type(), e.IsState()); level < needed {
		return forbidden("You need power level %d to send %s, and have %d.", needed, shorten(e.Type()), level)
	}
	if strings.HasPrefix(e.StateKeyValue(), "@") && e.StateKeyValue() != string(e.Sender()) {
		return forbidden("A state key beginning with @ must be your own user id.")
	}
	if e.Type() == event.TypePowerLevels {
		return powerLevelsAllowed(e, create, levels, level)
	}
	if e.Type() == event.TypeRedaction && e.Rules().RedactionRule {
		return redactionAllowed(e, levels, level)
	}
	return nil
}

// aliasesAllowed is the rule for m.room.aliases: each server has one, whatever the power of its users.
func aliasesAllowed(e *event.Event) error {
	if !e.IsState() || e.StateKeyValue() != string(e.Sender().Server()) {
		return forbidden("The state key of m.room.aliases must be your own server.")
	}
	return nil
}

// redactionAllowed is the rule for m.room.redaction: whose power does not suffice may redact what their own server sent.
func redactionAllowed(e *event.Event, levels *PowerLevels, level int64) error {
	_, own, _ := strings.Cut(string(e.ID()), ":")
	_, redacted, ok := strings.Cut(string(e.Redacts()), ":")
	if level < levels.Redact && (!ok || own != redacted) {
		return forbidden("You need power level %d to redact events of other servers, and have %d.", levels.Redact, level)
	}
	return nil
}

func createAllowed(e *event.Event) error {
	rules := e.Rules()
	version := e.ContentValue("room_version")
	switch {
	case len(e.PrevEvents()) > 0:
		return forbidden("Only the first event of a room can be its create event.")
	case rules.RoomIDFromCreate && e.HasRoomID():
		return forbidden("The create event must not have a room id.")
	case !rules.RoomIDFromCreate && e.RoomID().Server() != e.Sender().Server():
		return forbidden("The room id belongs to another server than the sender.")
	case version != nil && !event.RoomVersion(rawjson.Text(version)).Supported():
		return forbidden("The room version is unknown.")
	case rules.CreatorInContent && e.ContentValue("creator") == nil:
		return forbidden("The create event names no creator.")
	case rules.InfiniteCreators && !validCreators(e.ContentValue("additional_creators")):
		return forbidden("additional_creators must be a list of user ids.")
	}
	return nil
}

func validCreators(list []byte) bool {
	if list == nil {
		return true
	}
	if !rawjson.IsArray(list) {
		return false
	}
	for it := rawjson.Array(list); it.Next(); {
		if _, err := matrix.ParseUserID(rawjson.Text(it.Value)); err != nil {
			return false
		}
	}
	return true
}

func needLevel(have, need int64, to string) error {
	if have < need {
		return forbidden("You need power level %d to %s, and have %d.", need, to, have)
	}
	return nil
}

func forbidden(format string, args ...any) error {
	return matrix.Errorf(matrix.CodeForbidden, format, args...)
}

// shorten keeps what a client sent short enough for a message.
func shorten(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
