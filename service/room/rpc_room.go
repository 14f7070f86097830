package room

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/service/room/internal/store"
)

// roomServer answers other services' questions: hongyan.room.v1.Room.
type roomServer struct {
	roompb.UnimplementedRoomServer
	s *Service
}

var _ roompb.RoomServer = roomServer{}

// maxAsked bounds the rooms that one call may ask about.
const maxAsked = 10_000

func tooMany(n int) error {
	if n <= maxAsked {
		return nil
	}
	return matrix.Errorf(matrix.CodeInvalidParam, "%d rooms are more than the %d that one call may ask about.", n, maxAsked)
}

// asked returns the rooms to look for, of those that a call names: what is no text is replaced by what is no room.
func asked(roomIDs []string) ([]string, error) {
	if err := tooMany(len(roomIDs)); err != nil {
		return nil, err
	}
	list := make([]string, len(roomIDs))
	for i, id := range roomIDs {
		if isText(id) {
			list[i] = id
		}
	}
	return list, nil
}

// errNoSuchRoom is the answer to a service that asks about a room which is not there.
func errNoSuchRoom() error { return matrix.NewError(matrix.CodeNotFound, "There is no such room.") }

// Membership says what a user is in a room.
func (r roomServer) Membership(ctx context.Context, req *roompb.MembershipRequest) (*roompb.MembershipResponse, error) {
	if !isText(req.RoomId) || !isText(req.UserId) {
		return &roompb.MembershipResponse{}, nil
	}
	membership, err := r.s.reads.store.Membership(ctx, req.RoomId, req.UserId)
	if err != nil {
		return nil, err
	}
	return &roompb.MembershipResponse{Membership: membership}, nil
}

// Members lists who is joined to and invited into rooms.
func (r roomServer) Members(ctx context.Context, req *roompb.MembersRequest) (*roompb.MembersResponse, error) {
	roomIDs, err := asked(req.RoomIds)
	if err != nil {
		return nil, err
	}
	rows, err := r.s.reads.store.Members(ctx, roomIDs)
	if err != nil {
		return nil, err
	}
	resp := &roompb.MembersResponse{}
	var room *roompb.RoomMembers
	for _, m := range rows {
		if room == nil || room.RoomId != m.Name {
			room = &roompb.RoomMembers{RoomId: m.Name, Seq: m.Seq, Position: m.Position, RoomVersion: m.Version}
			resp.Rooms = append(resp.Rooms, room)
		}
		switch m.Membership {
		case "join":
			room.Joined = append(room.Joined, m.UserID)
		case "invite":
			room.Invited = append(room.Invited, m.UserID)
		}
	}
	return resp, nil
}

// Locate says where an event is that the user may see.
func (r roomServer) Locate(ctx context.Context, req *roompb.LocateRequest) (*roompb.LocateResponse, error) {
	reads := r.s.reads
	v, err := reads.view(ctx, req.RoomId, req.UserId)
	if err != nil {
		return nil, err
	}
	e, err := reads.visibleEvent(ctx, v, req.EventId)
	if err != nil {
		return nil, err
	}
	thread, err := reads.notedThread(ctx, v, e)
	if err != nil {
		return nil, err
	}
	return &roompb.LocateResponse{
		Position: e.Position, Seq: e.Seq, Type: e.event.Type(), Sender: string(e.event.Sender()),
		ThreadId: thread, OriginServerTs: e.event.OriginServerTS(),
	}, nil
}

// eventProto returns an event without its note for another service. Whose transaction id it was is kept only for the device that sent it.
func eventProto(e *store.Event, version, userID, deviceID, sender string) (*roompb.Event, error) {
	out, err := eventWithMeta(e, version)
	if err != nil {
		return nil, err
	}
	hideTxn(out.Meta, userID, deviceID, sender)
	out.Meta.Note = nil
	return out, nil
}

// eventWithMeta returns an event for another service, with all that is kept beside it.
func eventWithMeta(e *store.Event, version string) (*roompb.Event, error) {
	meta := &roompb.EventMeta{}
	if err := proto.Unmarshal(e.Meta, meta); err != nil {
		return nil, fmt.Errorf("decode meta of %s: %w", e.ID, err)
	}
	meta.RoomVersion = version
	return &roompb.Event{EventId: e.ID, Position: e.Position, Seq: e.Seq, Pdu: e.PDU, Meta: meta}, nil
}

// hideTxn leaves the transaction id to the device that sent the event.
func hideTxn(meta *roompb.EventMeta, userID, deviceID, sender string) {
	if deviceID == "" || meta.DeviceId != deviceID || sender != userID {
		meta.DeviceId, meta.TxnId = "", ""
	}
}
