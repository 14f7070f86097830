package auth

import (
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/matrix/internal/rawjson"
)

// memberAllowed is the rule for m.room.member.
func memberAllowed(e *event.Event, state State) error {
	membership := event.Membership(rawjson.Text(e.ContentValue("membership")))
	if !e.IsState() || membership == "" {
		return forbidden("A member event must have a state key and a membership.")
	}
	if via := e.ContentValue("join_authorised_via_users_server"); via != nil && e.Rules().Restricted {
		if !e.SignedBy(matrix.UserID(rawjson.Text(via)).Server()) {
			return forbidden("The join is not signed by the server of the user who authorises it.")
		}
	}
	c := change{e: e, state: state, target: matrix.UserID(e.StateKeyValue())}
	c.senderIs = state.Membership(e.Sender())
	c.targetIs = c.senderIs
	if c.target != e.Sender() {
		c.targetIs = state.Membership(c.target)
	}
	switch membership {
	case event.Join:
		return c.join()
	case event.Invite:
		return c.invite()
	case event.Leave:
		return c.leave()
	case event.Ban:
		return c.ban()
	case event.Knock:
		if e.Rules().Knocking {
			return c.knock()
		}
	}
	return forbidden("The membership %q is unknown.", shorten(string(membership)))
}

// change is one change of membership.
type change struct {
	e                  *event.Event
	state              State
	target             matrix.UserID
	senderIs, targetIs event.Membership
}

func (c *change) own() bool { return c.target == c.e.Sender() }

func (c *change) join() error {
	create := c.state.Create()
	prev := c.e.PrevEvents()
	if len(prev) == 1 && prev[0] == create.EventID && c.target == create.Creator {
		return nil
	}
	if !c.own() {
		return forbidden("You cannot join on behalf of another user.")
	}
	if c.senderIs == event.Ban {
		return forbidden("You are banned from the room.")
	}
	isIn := c.senderIs == event.Join || c.senderIs == event.Invite
	rules := c.e.Rules()
	switch rule := c.state.JoinRule(); {
	case rule == event.JoinRulePublic:
		return nil
	case rule == event.JoinRuleInvite, rule == event.JoinRuleKnock && rules.Knocking:
		if isIn {
			return nil
		}
		return forbidden("You need an invitation to join the room.")
	case rule == event.JoinRuleRestricted && rules.Restricted,
		rule == event.JoinRuleKnockRestricted && rules.KnockRestricted:
		if isIn || c.authorised() {
			return nil
		}
		return forbidden("You need an invitation to the room, or to be in one of the rooms whose members may join.")
	default:
		return forbidden("The room's join rule does not let anyone join.")
	}
}

// authorised tells whether the join names a member who may invite.
func (c *change) authorised() bool {
	via, ok := rawjson.String(c.e.ContentValue("join_authorised_via_users_server"))
	return ok && CanInvite(c.state, matrix.UserID(via))
}

// CanInvite tells whether a user is in the room and may invite, and so may authorise a restricted join.
func CanInvite(state State, user matrix.UserID) bool {
	if state.Membership(user) != event.Join {
		return false
	}
	levels := state.PowerLevels()
	return levels.UserLevel(user) >= levels.Invite
}

func (c *change) invite() error {
	if invite := c.e.ContentValue("third_party_invite"); invite != nil {
		return c.thirdPartyInvite(invite)
	}
	switch {
	case c.senderIs != event.Join:
		return forbidden("You are not in the room.")
	case c.targetIs == event.Join:
		return forbidden("The user is already in the room.")
	case c.targetIs == event.Ban:
		return forbidden("The user is banned from the room.")
	}
	levels := c.state.PowerLevels()
	return needLevel(levels.UserLevel(c.e.Sender()), levels.Invite, "invite others")
}

func (c *change) leave() error {
	if c.own() {
		switch c.senderIs {
		case event.Invite, event.Join:
			return nil
		case event.Knock:
			if c.e.Rules().Knocking {
				return nil
			}
		case event.Ban:
			return forbidden("You are banned from the room.")
		}
		return forbidden("You are not in the room.")
	}
	if c.senderIs != event.Join {
		return forbidden("You are not in the room.")
	}
	levels := c.state.PowerLevels()
	level := levels.UserLevel(c.e.Sender())
	if c.targetIs == event.Ban {
		if err := needLevel(level, levels.Ban, "unban others"); err != nil {
			return err
		}
	}
	if err := needLevel(level, levels.Kick, "remove others"); err != nil {
		return err
	}
	return c.outranks(levels, level)
}

func (c *change) ban() error {
	if c.senderIs != event.Join {
		return forbidden("You are not in the room.")
	}
	levels := c.state.PowerLevels()
	level := levels.UserLevel(c.e.Sender())
	if err := needLevel(level, levels.Ban, "ban others"); err != nil {
		return err
	}
	return c.outranks(levels, level)
}

// outranks requires that the sender's level is above the target's.
func (c *change) outranks(levels *PowerLevels, level int64) error {
	if levels.UserLevel(c.target) >= level {
		return forbidden("The user's power level is not below yours.")
	}
	return nil
}

func (c *change) knock() error {
	rule := c.state.JoinRule()
	if rule != event.JoinRuleKnock && (rule != event.JoinRuleKnockRestricted || !c.e.Rules().KnockRestricted) {
		return forbidden("The room does not accept knocking.")
	}
	if !c.own() {
		return forbidden("You cannot knock on behalf of another user.")
	}
	switch c.senderIs {
	case event.Ban:
		return forbidden("You are banned from the room.")
	case event.Invite:
		return forbidden("You are already invited to the room.")
	case event.Join:
		return forbidden("You are already in the room.")
	}
	return nil
}
