package room

import (
	"context"
	"slices"

	"github.com/tidwall/gjson"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/state"
)

// restricted tells whether the room lets in who meets a condition ("Restricted rooms").
func (w *working) restricted() bool {
	switch w.auth.joinRule {
	case event.JoinRuleRestricted:
		return w.rules.Restricted
	case event.JoinRuleKnockRestricted:
		return w.rules.KnockRestricted
	}
	return false
}

// authorise returns the member who lets a user into a restricted room. The other rooms may be in the memory of other
// instances: their members are read from the database, whenever the operation runs.
func (w *working) authorise(ctx context.Context, user matrix.UserID) (matrix.UserID, error) {
	joined := false
	if rooms := allowedRooms(w.state.Event(event.TypeJoinRules)); len(rooms) > 0 {
		var err error
		if joined, err = w.s.store.JoinedToAny(ctx, string(user), rooms); err != nil {
			return "", matrix.Unavailable(err)
		}
	}
	if !joined {
		return "", matrix.NewError(matrix.CodeForbidden,
			"You are not invited to this room, and in none of the rooms whose members may join it.")
	}
	if via := w.inviter(); via != "" {
		return via, nil
	}
	return "", matrix.NewError(matrix.CodeForbidden, "Nobody of this server who is in the room may let you in.")
}

// allowedRooms returns the rooms whose members may join by a join rule. What is malformed allows nobody.
func allowedRooms(e *event.Event) []string {
	if e == nil {
		return nil
	}
	var rooms []string
	allow := gjson.ParseBytes(e.ContentValue("allow"))
	if !allow.IsArray() {
		return nil
	}
	for _, one := range allow.Array() {
		id := one.Get("room_id")
		if one.Get("type").Str != "m.room_membership" || id.Type != gjson.String {
			continue
		}
		if _, err := matrix.ParseRoomID(id.Str); err == nil && isText(id.Str) && !slices.Contains(rooms, id.Str) {
			rooms = append(rooms, id.Str)
		}
	}
	return rooms
}

// inviter returns a member of this server who may invite, "" if there is none: of those with a power of their own who
// has most, otherwise anybody.
func (w *working) inviter() matrix.UserID {
	levels := w.auth.levels
	may := func(user matrix.UserID) bool {
		return user.Server() == w.s.server && auth.CanInvite(stateForRules{w}, user)
	}
	for _, user := range w.auth.create.Creators {
		if may(user) {
			return user
		}
	}
	var best matrix.UserID
	var most int64
	levels.Users(func(user matrix.UserID, level int64) bool {
		if may(user) && (best == "" || level > most || level == most && user < best) {
			best, most = user, level
		}
		return true
	})
	if best != "" || levels.UsersDefault < levels.Invite {
		return best
	}
	for m := range w.state.Members() {
		if m.Membership == state.Join && may(matrix.UserID(m.UserID)) {
			return matrix.UserID(m.UserID)
		}
	}
	return ""
}
