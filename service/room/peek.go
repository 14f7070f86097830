package room

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/matrix/filter"
)

// Peek gives the events of a room after a token that a user may see, who need not be in it ("Room Previews"). It is /messages
// going forward, as a part of GET /events.
func (r roomServer) Peek(ctx context.Context, req *roompb.PeekRequest) (*roompb.PeekResponse, error) {
	reads := r.s.reads
	v, err := reads.view(ctx, req.RoomId, req.UserId)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNoAccess()
	}
	through, ok := v.timelineThrough()
	if !ok {
		return nil, errNoAccess()
	}
	after, start := through, ""
	if req.From != "" {
		seq, ok, err := reads.parseToken(ctx, v, req.From)
		if err != nil {
			return nil, err
		}
		if ok {
			after, start = min(after, seq), req.From
		}
	}
	ignored := setOf(req.Ignored)
	limit := int(min(max(req.Limit, 1), maxPage))
	p, err := reads.forward(ctx, v, after, through, limit, match(filter.DefaultRoomEvents(), ignored))
	if err != nil {
		return nil, err
	}
	out := reads.writer(v, req.DeviceId)
	if err := reads.aggregate(ctx, out, p.events, ignored); err != nil {
		return nil, err
	}
	resp := &roompb.PeekResponse{Count: int32(len(p.events)), Start: start}
	if resp.Chunk, err = out.array(nil, p.events); err != nil {
		return nil, err
	}
	if resp.Start == "" {
		if resp.Start, err = reads.token(ctx, v, place{after, -1}); err != nil {
			return nil, err
		}
	}
	if resp.Count == 0 && p.end.seq <= after {
		resp.End = resp.Start
		return resp, nil
	}
	resp.End, err = reads.token(ctx, v, p.end)
	return resp, err
}
