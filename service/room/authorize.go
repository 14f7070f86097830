package room

import (
	"fmt"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/state"
)

// authority is what the rules read of a room's state at every event: parsed once, when it changes.
type authority struct {
	create   *auth.Create
	levels   *auth.PowerLevels
	joinRule event.JoinRule
}

// authorityOf parses a state that was authorised.
func authorityOf(st state.State) (authority, error) {
	var a authority
	create := st.Event(event.TypeCreate)
	if create == nil {
		return a, fmt.Errorf("room has no create event")
	}
	var err error
	if a.create, err = auth.NewCreate(create); err != nil {
		return a, err
	}
	a.levels = auth.DefaultPowerLevels(a.create)
	if e := st.Event(event.TypePowerLevels); e != nil {
		if a.levels, err = auth.ParsePowerLevels(a.create, e.Content()); err != nil {
			return a, fmt.Errorf("power levels %s: %w", e.ID(), err)
		}
	}
	a.joinRule = auth.JoinRuleOf(st.Event(event.TypeJoinRules))
	return a, nil
}

// changes tells whether a state entry is one that an authority is parsed from.
func (authority) changes(typ, key string) bool {
	return key == "" && (typ == event.TypeCreate || typ == event.TypePowerLevels || typ == event.TypeJoinRules)
}

// stateForRules is the working copy as auth.State.
type stateForRules struct{ *working }

var _ auth.State = stateForRules{}

func (s stateForRules) Create() *auth.Create           { return s.auth.create }
func (s stateForRules) PowerLevels() *auth.PowerLevels { return s.auth.levels }
func (s stateForRules) JoinRule() event.JoinRule       { return s.auth.joinRule }
func (s stateForRules) Membership(user matrix.UserID) event.Membership {
	return event.Membership(s.state.Membership(string(user)))
}

// ThirdPartyInvite is the one that the operation has read, if it is that.
func (s stateForRules) ThirdPartyInvite(token string) *event.Event {
	if s.thirdParty != nil && s.thirdParty.StateKeyValue() == token {
		return s.thirdParty
	}
	return nil
}

// authEvents returns the events that authorise the event.
func (w *working) authEvents(p *event.Proto) []matrix.EventID {
	return auth.EventsFor(p, func(k auth.Key) matrix.EventID {
		return matrix.EventID(w.state.EventID(k.Type, k.StateKey))
	})
}

// mustBeJoined refuses everybody who is not in the room, whatever else is wrong with the request.
func (w *working) mustBeJoined(user matrix.UserID) error {
	if w.state.Membership(string(user)) != state.Join {
		return errUnknownRoom()
	}
	return nil
}

// mustSend refuses who is not in the room or lacks the power to send events of a type.
func (w *working) mustSend(user matrix.UserID, typ string, isState bool) error {
	if err := w.mustBeJoined(user); err != nil {
		return err
	}
	return w.mustHavePower(user, w.auth.levels.EventLevel(typ, isState), "Sending "+shorten(typ))
}

// maySend tells whether somebody may send state events of a type.
func (w *working) maySend(user matrix.UserID, typ string) bool {
	return w.mustSend(user, typ, true) == nil
}

func (w *working) mustHavePower(user matrix.UserID, need int64, what string) error {
	if w.auth.levels.UserLevel(user) < need {
		return matrix.Errorf(matrix.CodeForbidden, "%s here needs a power level of %d.", what, need)
	}
	return nil
}

// shorten keeps what a client sent short enough for a message.
func shorten(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
