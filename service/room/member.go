package room

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/state"
)

// memberChange is a change of what a user is in a room.
type memberChange struct {
	sender, target matrix.UserID
	to             event.Membership
	// content is what the client says beside the membership.
	content object
	profile *identitypb.Profile
	device  string
	guest   bool
	// blocked tells that the target takes no invites.
	blocked bool
	// thirdParty is the content's third_party_invite, for an invite that follows from one by address.
	thirdParty []byte
	// via is the member who lets somebody into a restricted room; checkChange finds them.
	via matrix.UserID
}

// keysOfServer are keys of member events that only the server writes.
var keysOfServer = [...]string{"join_authorised_via_users_server", "third_party_invite", "third_party_signed"}

// setMember writes a member event. It returns the current one where nothing changes.
func (w *working) setMember(ctx context.Context, c memberChange) (*event.Event, error) {
	key := string(c.target)
	now := w.state.Membership(key)
	if c.to == event.Join && now == state.Join && len(c.content) == 0 && c.sender == c.target {
		return w.current(ctx, event.TypeMember, key)
	}
	if c.to == event.Leave && now == state.Leave && c.sender == c.target {
		return w.current(ctx, event.TypeMember, key)
	}
	if err := w.checkChange(ctx, &c, now); err != nil {
		return nil, err
	}
	o := object{}
	for k, v := range c.content {
		o[k] = v
	}
	for _, k := range keysOfServer {
		delete(o, k)
	}
	o.set("membership", string(c.to))
	if c.thirdParty != nil {
		o["third_party_invite"] = c.thirdParty
	}
	if c.via != "" {
		o.set("join_authorised_via_users_server", c.via)
	}
	if c.to == event.Join || c.to == event.Invite || c.to == event.Knock {
		o.setProfile(c.profile)
	}
	content, err := o.canonical()
	if err != nil {
		return nil, err
	}
	ev, err := w.add(ctx, draft{
		sender: c.sender, typ: event.TypeMember, key: &key, content: content, device: c.device,
	})
	if err == nil && c.blocked && c.to == event.Invite { // after what is forbidden
		return nil, errInviteBlocked(c.target)
	}
	return ev, err
}

// checkChange refuses, with a message that says why, what the rules of the room's version allow too much or refuse
// without saying why. The rules themselves follow when the event is authorised.
func (w *working) checkChange(ctx context.Context, c *memberChange, now string) error {
	self := c.sender == c.target
	forbid := func(message string) error { return matrix.NewError(matrix.CodeForbidden, message) }
	switch c.to {
	case event.Join:
		if !self {
			return forbid("Nobody can join a room for somebody else.")
		}
		return w.checkJoin(ctx, c, now)
	case event.Invite:
		if self {
			return forbid("You cannot invite yourself.")
		}
		if w.state.Membership(string(c.sender)) != state.Join {
			return errUnknownRoom()
		}
		if c.target.Server() != w.s.server {
			return forbid("Users of other servers cannot be invited: this server does not federate.")
		}
		switch now {
		case state.Join:
			return forbid(fmt.Sprintf("%s is already in the room.", c.target))
		case state.Ban:
			return forbid(fmt.Sprintf("%s is banned from the room.", c.target))
		}
	case event.Leave:
		if self && now == "" {
			return errUnknownRoom()
		}
		if self && now == state.Ban {
			return forbid("You are banned from this room.")
		}
		if !self {
			return w.checkRemoval(c, now)
		}
	case event.Ban:
		return w.mustBeJoined(c.sender)
	case event.Knock:
		if c.guest {
			return matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests cannot knock at rooms.")
		}
		if !w.rules.Knocking {
			return forbid(fmt.Sprintf("Rooms of version %s do not accept knocking.", w.rules.Version))
		}
	}
	return nil
}

// checkRemoval says why somebody may not be made to leave. The rules would let a moderator write that of anybody, and
// whoever never was in the room would find it among those that they left.
func (w *working) checkRemoval(c *memberChange, now string) error {
	if err := w.mustBeJoined(c.sender); err != nil {
		return err
	}
	if now == "" || now == state.Leave {
		return matrix.Errorf(matrix.CodeForbidden, "%s is not in the room.", c.target)
	}
	return nil
}

// checkJoin says why somebody may not join. To a restricted room it finds who lets them in.
func (w *working) checkJoin(ctx context.Context, c *memberChange, now string) error {
	if now == state.Ban {
		return matrix.NewError(matrix.CodeForbidden, "You are banned from this room.")
	}
	if now == state.Join || w.state.Len() == 1 { // the creator's own join follows the create event
		return nil
	}
	if c.guest && w.contentString(event.TypeGuestAccess, "guest_access") != canJoin {
		return matrix.NewError(matrix.CodeGuestAccessForbidden, "Guests cannot join this room.")
	}
	if now == state.Invite || w.auth.joinRule == event.JoinRulePublic {
		return nil
	}
	if !w.restricted() {
		return matrix.NewError(matrix.CodeForbidden, "You are not invited to this room.")
	}
	if c.via != "" { // found by this very operation
		return nil
	}
	var err error
	c.via, err = w.authorise(ctx, c.target)
	return err
}

// contentString reads a string of a kept state event with an empty key, "" if there is none.
func (w *working) contentString(typ, key string) string {
	if ev := w.state.Event(typ); ev != nil {
		return ev.ContentString(key)
	}
	return ""
}

// kick makes somebody leave who is in the room, invited or knocking.
func (w *working) kick(ctx context.Context, c memberChange) (*event.Event, error) {
	if err := w.mustBeJoined(c.sender); err != nil {
		return nil, err
	}
	switch w.state.Membership(string(c.target)) {
	case state.Join, state.Invite, state.Knock:
	default:
		return nil, matrix.Errorf(matrix.CodeForbidden, "%s is not in the room.", c.target)
	}
	if c.sender != c.target {
		if err := w.mustHavePower(c.sender, w.auth.levels.Kick, "Kicking"); err != nil {
			return nil, err
		}
	}
	return w.setMember(ctx, c)
}

// unban takes a ban back.
func (w *working) unban(ctx context.Context, c memberChange) (*event.Event, error) {
	if err := w.mustBeJoined(c.sender); err != nil {
		return nil, err
	}
	if err := w.mustHavePower(c.sender, max(w.auth.levels.Ban, w.auth.levels.Kick), "Unbanning"); err != nil {
		return nil, err
	}
	if w.state.Membership(string(c.target)) != state.Ban {
		return nil, matrix.Errorf(matrix.CodeForbidden, "%s is not banned from the room.", c.target)
	}
	return w.setMember(ctx, c)
}

// putMember is PUT /rooms/{roomId}/state/m.room.member/{userId}: any change of a membership.
func (s *Service) putMember(rw http.ResponseWriter, q request, key string, content []byte, bodyErr error) error {
	c := memberChange{sender: q.user, device: q.DeviceID, guest: q.Guest}
	if bodyErr == nil {
		c.target, c.to, c.content, bodyErr = parseMember(key, content)
	}
	if c.to != event.Leave || c.target != q.user {
		if err := q.active(); err != nil {
			return err
		}
	}
	if bodyErr == nil && (c.to == event.Join || c.to == event.Invite || c.to == event.Knock) {
		found, err := s.profiles(q.http.Context(), c.target)
		if err != nil {
			return err
		}
		c.profile = found[c.target]
	}
	if bodyErr == nil && c.to == event.Invite {
		blocked, err := s.inviteBlocks(q.http.Context(), c.target)
		if err != nil {
			return err
		}
		c.blocked = blocked[c.target]
	}
	response, err := s.operate(q.http.Context(), q.room, q.once(), func(ctx context.Context, w *working) ([]byte, error) {
		now := w.state.Membership(q.UserID)
		if now == "" && (bodyErr != nil || c.to != event.Join && c.to != event.Knock) {
			return nil, errUnknownRoom()
		}
		if bodyErr != nil {
			return nil, bodyErr
		}
		ev, err := w.setMember(ctx, c)
		if err != nil {
			return nil, err
		}
		return eventAnswer(ev.ID()), nil
	})
	if err != nil {
		return err
	}
	if c.to == event.Join || c.to == event.Knock {
		s.settleProfile(q.http.Context(), q.room, q.user, c.profile)
	}
	httpx.WriteRawJSON(rw, http.StatusOK, response)
	return nil
}

// parseMember reads a member event as a client sends it.
func parseMember(key string, content []byte) (matrix.UserID, event.Membership, object, error) {
	target, err := matrix.ParseUserID(key)
	if err != nil {
		return "", "", nil, err
	}
	o, err := parseObject(content)
	if err != nil {
		return "", "", nil, err
	}
	to := event.Membership(o.str("membership"))
	if !to.Valid() {
		return "", "", nil, matrix.NewError(matrix.CodeBadJSON, "\"membership\" must be join, invite, leave, ban or knock.")
	}
	delete(o, "membership")
	if err := o.checkMemberShape(); err != nil {
		return "", "", nil, err
	}
	return target, to, o, nil
}

// checkMemberShape refuses values of another type than clients can read.
func (o object) checkMemberShape() error {
	for _, k := range []string{"displayname", "avatar_url", "reason"} {
		if v, ok := o[k]; ok && !strings.HasPrefix(string(v), `"`) && string(v) != "null" {
			return matrix.Errorf(matrix.CodeBadJSON, "%q must be a string.", k)
		}
	}
	return nil
}
