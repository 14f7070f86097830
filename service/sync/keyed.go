package sync

import (
	"context"

	"google.golang.org/grpc"

	roompb "hongyan/api/room"
	"hongyan/platform/rpc"
)

// toOwner sends what concerns one room to the instance that owns it: it has in memory who sees what of the room, and
// gathers its receipts. Any other would answer the same. What concerns several rooms goes to any instance.
type toOwner struct{ roompb.RoomClient }

// Timeline implements roompb.RoomClient.
func (c toOwner) Timeline(
	ctx context.Context, req *roompb.TimelineRequest, opts ...grpc.CallOption,
) (*roompb.TimelineResponse, error) {
	return c.RoomClient.Timeline(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}

// Peek implements roompb.RoomClient.
func (c toOwner) Peek(ctx context.Context, req *roompb.PeekRequest, opts ...grpc.CallOption) (*roompb.PeekResponse, error) {
	return c.RoomClient.Peek(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}

// Relations implements roompb.RoomClient.
func (c toOwner) Relations(
	ctx context.Context, req *roompb.RelationsRequest, opts ...grpc.CallOption,
) (*roompb.RelationsResponse, error) {
	return c.RoomClient.Relations(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}

// State implements roompb.RoomClient.
func (c toOwner) State(ctx context.Context, req *roompb.StateRequest, opts ...grpc.CallOption) (*roompb.StateResponse, error) {
	return c.RoomClient.State(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}

// Receipts implements roompb.RoomClient.
func (c toOwner) Receipts(
	ctx context.Context, req *roompb.ReceiptsRequest, opts ...grpc.CallOption,
) (*roompb.ReceiptsResponse, error) {
	if len(req.GetRooms()) == 1 {
		ctx = rpc.WithKey(ctx, req.GetRooms()[0].GetRoomId())
	}
	return c.RoomClient.Receipts(ctx, req, opts...)
}

// SetReceipt implements roompb.RoomClient.
func (c toOwner) SetReceipt(
	ctx context.Context, req *roompb.SetReceiptRequest, opts ...grpc.CallOption,
) (*roompb.SetReceiptResponse, error) {
	return c.RoomClient.SetReceipt(rpc.WithKey(ctx, req.GetReceipt().GetRoomId()), req, opts...)
}

// Notes implements roompb.RoomClient.
func (c toOwner) Notes(ctx context.Context, req *roompb.NotesRequest, opts ...grpc.CallOption) (*roompb.NotesResponse, error) {
	return c.RoomClient.Notes(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}

// EventsAt implements roompb.RoomClient.
func (c toOwner) EventsAt(
	ctx context.Context, req *roompb.EventsAtRequest, opts ...grpc.CallOption,
) (*roompb.EventsAtResponse, error) {
	return c.RoomClient.EventsAt(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}

// Locate implements roompb.RoomClient.
func (c toOwner) Locate(ctx context.Context, req *roompb.LocateRequest, opts ...grpc.CallOption) (*roompb.LocateResponse, error) {
	return c.RoomClient.Locate(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}

// Membership implements roompb.RoomClient.
func (c toOwner) Membership(
	ctx context.Context, req *roompb.MembershipRequest, opts ...grpc.CallOption,
) (*roompb.MembershipResponse, error) {
	return c.RoomClient.Membership(rpc.WithKey(ctx, req.GetRoomId()), req, opts...)
}
