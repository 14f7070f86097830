package room

import (
	"context"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hongyan/api/sync"
	"hongyan/matrix"
)

// inviteBlocks returns who of users takes no invites ("Invite permission"). They said so to the sync service, which reads
// it from its database. While that cannot be asked, nobody is invited: an invite cannot be taken back unseen.
func (s *Service) inviteBlocks(ctx context.Context, users ...matrix.UserID) (map[matrix.UserID]bool, error) {
	var ids []string
	for _, u := range users {
		if u.Server() == s.server {
			ids = append(ids, string(u))
		}
	}
	if len(ids) == 0 || s.deps.Sync == nil {
		return nil, nil
	}
	resp, err := s.deps.Sync.InviteBlocks(ctx, &syncpb.InviteBlocksRequest{UserIds: ids})
	if status.Code(err) == codes.Unimplemented { // an instance of the version before, which will soon be replaced
		return nil, nil
	}
	if err != nil {
		return nil, matrix.Unavailable(fmt.Errorf("ask who takes no invites: %w", err))
	}
	blocked := make(map[matrix.UserID]bool, len(resp.GetUserIds()))
	for _, id := range resp.GetUserIds() {
		blocked[matrix.UserID(id)] = true
	}
	return blocked, nil
}

func errInviteBlocked(user matrix.UserID) error {
	return matrix.Errorf(matrix.CodeInviteBlocked, "%s takes no invites.", user).WithStatus(http.StatusForbidden)
}
