package room

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/service/room/internal/store"
)

// UserRooms lists the rooms of a user.
func (r roomServer) UserRooms(ctx context.Context, req *roompb.UserRoomsRequest) (*roompb.UserRoomsResponse, error) {
	roomIDs, err := asked(req.RoomIds)
	if err != nil {
		return nil, err
	}
	// The heads are read first: whatever is at or before them is in the rooms.
	heads, err := r.s.log.Heads(ctx)
	if err != nil {
		return nil, err
	}
	rooms, err := r.s.reads.store.UserRooms(ctx, req.UserId, req.WithForgotten, roomIDs)
	if err != nil {
		return nil, err
	}
	before, err := r.s.reads.membershipsAfter(ctx, req.UserId, rooms, req.After)
	if err != nil {
		return nil, err
	}
	resp := &roompb.UserRoomsResponse{Epoch: heads.Epoch, Heads: heads.Shard, Rooms: make([]*roompb.UserRoom, len(rooms))}
	for i, u := range rooms {
		resp.Rooms[i] = &roompb.UserRoom{
			RoomId: u.Name, Shard: int32(u.Shard), RoomVersion: u.Version,
			Membership: u.Membership, EventId: u.EventID, Seq: u.MemberSeq, Position: u.MemberPosition,
			Sender: u.Sender, Forgotten: u.Forgotten,
			HeadSeq: u.Seq, HeadPosition: u.HeadPosition, ReceiptPosition: u.ReceiptPosition,
			PurgedSeq:       u.Purged,
			MembershipAfter: before[u.ID],
		}
	}
	if !req.WithRemoved {
		return resp, nil
	}
	// After the others: a room that is removed meanwhile is among one or the other, or both.
	removed, err := r.s.reads.store.RemovedRooms(ctx, req.UserId)
	if err != nil {
		return nil, err
	}
	for _, u := range removed {
		resp.Rooms = append(resp.Rooms, &roompb.UserRoom{
			RoomId: u.Name, Shard: int32(u.Shard), Membership: u.Membership, Seq: u.MemberSeq, Position: u.MemberPosition,
			Sender: u.Sender, Removed: true,
		})
	}
	return resp, nil
}

// membershipsAfter returns, by room, what the user was at the positions that the caller knows, for those rooms in which
// that changed since. A shard without a position held no room of the user.
func (r *reads) membershipsAfter(ctx context.Context, userID string, rooms []store.UserRoom, after map[int32]int64) (map[int64]string, error) {
	var changed []store.RoomPosition
	for _, u := range rooms {
		if position, ok := after[int32(u.Shard)]; ok && u.MemberPosition > position {
			changed = append(changed, store.RoomPosition{Room: u.ID, Position: position})
		}
	}
	events, err := r.store.MembersAt(ctx, userID, changed)
	if err != nil {
		return nil, err
	}
	memberships := make(map[int64]string, len(events))
	for _, e := range events {
		memberships[e.Room] = string(membershipIn(e.PDU))
	}
	return memberships, nil
}
