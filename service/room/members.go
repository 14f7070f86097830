package room

import (
	"context"
	"net/http"
	"slices"

	"github.com/tidwall/gjson"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

var memberships = []string{
	string(event.Join), string(event.Invite), string(event.Knock), string(event.Leave), string(event.Ban),
}

// getMembers answers the member events of a room (client-server API, "GET /rooms/{roomId}/members").
func (s *Service) getMembers(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	at, ok := stateThrough(v)
	if !ok {
		return errNoAccess()
	}
	q := httpx.ReadQuery(r.URL)
	token := q.String("at")
	is := q.Enum("membership", "", memberships...)
	isNot := q.Enum("not_membership", "", memberships...)
	if err := q.Err(); err != nil {
		return err
	}
	if token != "" {
		seq, known, err := s.reads.parseToken(ctx, v, token)
		if err != nil {
			return err
		}
		if known {
			at = min(at, seq)
		}
	}
	members, err := s.reads.members(ctx, v, at, is, isNot)
	if err != nil {
		return err
	}
	var b body
	b.events("chunk", s.reads.writer(v, caller.DeviceID), members)
	return b.answer(w)
}

// members reads the member events as of a sequence number whose membership is the one or is not the other; an empty
// string says nothing about it.
func (r *reads) members(ctx context.Context, v *view, at int64, is, isNot string) ([]shown, error) {
	sel := store.Selection{Keys: []store.Key{{Type: event.TypeMember, Any: true}}}
	members, err := r.state(ctx, v, at, sel)
	if err != nil || is == "" && isNot == "" {
		return members, err
	}
	return slices.DeleteFunc(members, func(m shown) bool {
		membership := string(m.event.Membership())
		return (is == "" || membership != is) && (isNot == "" || membership == isNot)
	}), nil
}

// joinedMember is what joined_members tells of a user.
type joinedMember struct {
	DisplayName *string `json:"display_name,omitempty"`
	AvatarURL   *string `json:"avatar_url,omitempty"`
}

// getJoinedMembers answers who is joined (client-server API, "GET /rooms/{roomId}/joined_members").
func (s *Service) getJoinedMembers(w http.ResponseWriter, r *http.Request) error {
	v, _, err := s.openRoom(r)
	if err != nil {
		return err
	}
	if v == nil || !v.joined() {
		return errNoAccess()
	}
	list, err := s.reads.store.JoinedMembers(r.Context(), v.ID)
	if err != nil {
		return err
	}
	joined := make(map[string]joinedMember, len(list))
	for _, m := range list {
		fields := gjson.GetManyBytes(m.PDU, "content.displayname", "content.avatar_url")
		joined[m.UserID] = joinedMember{optionalString(fields[0]), optionalString(fields[1])}
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"joined": joined})
	return nil
}

func optionalString(v gjson.Result) *string {
	if v.Type != gjson.String {
		return nil
	}
	return &v.Str
}

// getJoinedRooms answers the rooms that the caller is joined to (client-server API, "GET /joined_rooms").
func (s *Service) getJoinedRooms(w http.ResponseWriter, r *http.Request) error {
	rooms, err := s.reads.store.JoinedRooms(r.Context(), httpx.CallerOf(r).UserID)
	if err != nil {
		return err
	}
	if rooms == nil {
		rooms = []string{}
	}
	httpx.WriteJSON(w, http.StatusOK, map[string][]string{"joined_rooms": rooms})
	return nil
}

// stateThrough is view.stateThrough for a room that may not exist.
func stateThrough(v *view) (seq int64, ok bool) {
	if v == nil {
		return 0, false
	}
	return v.stateThrough()
}
