package room

import (
	"context"
	"fmt"

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
