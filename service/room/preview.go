package room

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"hongyan/matrix/event"
	"hongyan/service/room/internal/store"
)

// preview is a room as somebody comes upon it who may not be in it.
type preview struct {
	store.RoomProfile
	profile
}

// previews reads the rooms that exist, by id.
func (r *reads) previews(ctx context.Context, roomIDs []string, userID string) (map[string]*preview, error) {
	roomIDs = slices.DeleteFunc(slices.Clone(roomIDs), func(id string) bool { return !isText(id) })
	found, err := r.store.Profiles(ctx, roomIDs, userID)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*preview, len(found))
	for _, f := range found {
		p := &preview{RoomProfile: f}
		if err := json.Unmarshal(f.Profile, &p.profile); err != nil {
			return nil, fmt.Errorf("decode profile of room %s: %w", f.RoomID, err)
		}
		all[f.RoomID] = p
	}
	return all, nil
}

// visitor is a user who looks for rooms; without an id, somebody without an account.
type visitor struct {
	reads  *reads
	userID string
	// joined are the rooms that they are in, from when they are needed.
	joined map[string]struct{}
}

// mayKnow tells whether the visitor may learn of a room (client-server API, "GET /rooms/{roomId}/hierarchy"): because they
// are in it or invited, because they may enter or ask to, or because everybody may read it. Who is banned may not enter.
func (v *visitor) mayKnow(ctx context.Context, p *preview) (bool, error) {
	switch event.Membership(p.Membership) {
	case event.Join, event.Invite:
		return true, nil
	case event.Ban:
		return p.WorldReadable, nil
	}
	rules := event.RoomVersion(p.Version).Rules()
	if p.WorldReadable || rules == nil {
		return p.WorldReadable, nil
	}
	switch event.JoinRule(p.JoinRule) {
	case event.JoinRulePublic:
		return true, nil
	case event.JoinRuleKnock:
		return rules.Knocking, nil
	case event.JoinRuleKnockRestricted:
		return rules.KnockRestricted, nil
	case event.JoinRuleRestricted:
		if !rules.Restricted {
			return false, nil
		}
		return v.isInOne(ctx, p.AllowedRoomIDs)
	}
	return false, nil
}

// isInOne tells whether the visitor is in one of the rooms.
func (v *visitor) isInOne(ctx context.Context, roomIDs []string) (bool, error) {
	if v.userID == "" || len(roomIDs) == 0 {
		return false, nil
	}
	if v.joined == nil {
		rooms, err := v.reads.store.JoinedRooms(ctx, v.userID)
		if err != nil {
			return false, err
		}
		v.joined = make(map[string]struct{}, len(rooms))
		for _, id := range rooms {
			v.joined[id] = struct{}{}
		}
	}
	return slices.ContainsFunc(roomIDs, func(id string) bool {
		_, in := v.joined[id]
		return in
	}), nil
}
