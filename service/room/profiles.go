package room

import (
	"context"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/api/identity"
	"hongyan/matrix"
)

// profiles asks identity for the profiles of users of this server; users of others, and those that do not
// exist, are missing.
func (s *Service) profiles(ctx context.Context, users ...matrix.UserID) (map[matrix.UserID]*identitypb.Profile, error) {
	var ids []string
	for _, u := range users {
		if u.Server() == s.server {
			ids = append(ids, string(u))
		}
	}
	found := make(map[matrix.UserID]*identitypb.Profile, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	resp, err := s.deps.Identity.Profiles(ctx, &identitypb.ProfilesRequest{UserIds: ids})
	if err != nil {
		return nil, matrix.Unavailable(fmt.Errorf("read profiles: %w", err))
	}
	for _, p := range resp.GetProfiles() {
		found[matrix.UserID(p.GetUserId())] = p
	}
	return found, nil
}

// settleProfile ends the race of a join with a change of the profile that it shows: a follower of identity's log that looked
// for the user's rooms before the join was committed has not found it, but the change is there to be read now. Changes
// that come later find the join. What fails is logged: the join is committed.
func (s *Service) settleProfile(ctx context.Context, roomID string, user matrix.UserID, shown *identitypb.Profile) {
	if shown == nil {
		return
	}
	// The client may be gone as soon as the join is there.
	err := s.inTime(context.WithoutCancel(ctx), func(ctx context.Context) error {
		found, err := s.profiles(ctx, user)
		if err != nil {
			return err
		}
		now := found[user]
		if now == nil {
			return s.changeMember(ctx, roomID, user, leaveForGood)
		}
		if fields := changedFields(shown, now); len(fields) > 0 {
			return s.changeMember(ctx, roomID, user, showProfile(now, fields))
		}
		return nil
	})
	if err != nil {
		logx.WithContext(ctx).Errorf("look for changes of %s's profile after joining %s: %v", user, roomID, err)
	}
}

// changedFields are the fields of member events in which two profiles differ.
func changedFields(a, b *identitypb.Profile) []string {
	same := func(x, y *string) bool { return x == y || x != nil && y != nil && *x == *y }
	var fields []string
	if !same(a.DisplayName, b.DisplayName) {
		fields = append(fields, "displayname")
	}
	if !same(a.AvatarUrl, b.AvatarUrl) {
		fields = append(fields, "avatar_url")
	}
	return fields
}

// setProfile fills in what a member event says of the user, where it does not say it itself.
func (o object) setProfile(p *identitypb.Profile) {
	if p == nil {
		return
	}
	if _, ok := o["displayname"]; !ok && p.DisplayName != nil {
		o.set("displayname", p.GetDisplayName())
	}
	if _, ok := o["avatar_url"]; !ok && p.AvatarUrl != nil {
		o.set("avatar_url", p.GetAvatarUrl())
	}
}
