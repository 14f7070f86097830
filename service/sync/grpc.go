package sync

import (
	"context"

	syncpb "hongyan/api/sync"
	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/live"
)

// offeredLog is the user log as other services follow it: who asks for its heads shares the reading that the polls wait for.
type offeredLog struct {
	*eventlog.Log
	heads *shared[eventlog.Heads]
}

// Heads gives the positions of the newest entries of all shards.
func (l offeredLog) Heads(ctx context.Context) (eventlog.Heads, error) { return l.heads.get(ctx) }

// dataServer answers other services' questions: hongyan.sync.v1.Sync.
type dataServer struct {
	syncpb.UnimplementedSyncServer
	s *Service
}

// AccountData reads account data of a user from the database.
func (d dataServer) AccountData(ctx context.Context, req *syncpb.AccountDataRequest) (*syncpb.AccountDataResponse, error) {
	resp := &syncpb.AccountDataResponse{}
	if len(req.Types) == 0 {
		var err error
		resp.Data, err = d.s.users.RoomData(ctx, req.UserId, req.RoomId)
		return resp, unavailable(err)
	}
	for _, eventType := range req.Types {
		content, err := d.s.users.Data(ctx, req.UserId, req.RoomId, eventType)
		if err != nil {
			return nil, unavailable(err)
		}
		if content != nil {
			resp.Data = append(resp.Data, &syncpb.AccountData{RoomId: req.RoomId, Type: eventType, Content: content})
		}
	}
	return resp, nil
}

// InviteBlocks tells which users take no invites.
func (d dataServer) InviteBlocks(ctx context.Context, req *syncpb.InviteBlocksRequest) (*syncpb.InviteBlocksResponse, error) {
	resp := &syncpb.InviteBlocksResponse{}
	for _, user := range req.UserIds {
		content, err := d.s.users.Data(ctx, user, "", live.TypeInvitePermission)
		if err != nil {
			return nil, unavailable(err)
		}
		if blocksInvites(content) {
			resp.UserIds = append(resp.UserIds, user)
		}
	}
	return resp, nil
}
