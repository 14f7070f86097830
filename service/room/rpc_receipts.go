package room

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
)

// SetReceipt stores a public receipt for an event that its user may see.
func (r roomServer) SetReceipt(ctx context.Context, req *roompb.SetReceiptRequest) (*roompb.SetReceiptResponse, error) {
	receipt := req.GetReceipt()
	if err := checkReceipt(receipt); err != nil {
		return nil, err
	}
	reads := r.s.reads
	v, err := reads.view(ctx, receipt.RoomId, receipt.UserId)
	if err != nil {
		return nil, err
	}
	if v == nil || !v.joined() {
		return nil, errNoAccess()
	}
	e, err := reads.visibleEvent(ctx, v, receipt.EventId)
	if err != nil {
		return nil, err
	}
	stored := &roompb.Receipt{
		RoomId: receipt.RoomId, UserId: receipt.UserId, EventId: receipt.EventId, ReceiptType: receipt.ReceiptType,
		ThreadId: receipt.ThreadId, TsMs: receipt.TsMs, EventSeq: e.Seq,
	}
	if stored.TsMs == 0 {
		stored.TsMs = r.s.now()
	}
	position, err := reads.receipts.set(ctx, v.stream(), stored)
	if err != nil {
		return nil, err
	}
	return &roompb.SetReceiptResponse{Position: position}, nil
}

// Receipts gives the newest public receipts of rooms in ranges of positions.
func (r roomServer) Receipts(ctx context.Context, req *roompb.ReceiptsRequest) (*roompb.ReceiptsResponse, error) {
	if err := tooMany(len(req.Rooms)); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(req.Rooms))
	for _, room := range req.Rooms {
		if isText(room.RoomId) {
			names = append(names, room.RoomId)
		}
	}
	streams, err := r.s.reads.store.Streams(ctx, names)
	if err != nil {
		return nil, err
	}
	after, through := map[int64]int64{}, map[int64]int64{}
	for _, room := range req.Rooms {
		if id, ok := streams[room.RoomId]; ok {
			after[id], through[id] = room.After, room.Through
		}
	}
	records, err := r.s.log.LatestAfter(ctx, after)
	if err != nil {
		return nil, err
	}
	resp := &roompb.ReceiptsResponse{}
	for _, rec := range records {
		if rec.Kind != eventlog.Kind(roompb.EntryKind_ENTRY_KIND_RECEIPT) {
			continue
		}
		if last := through[rec.Stream]; last > 0 && rec.Position > last {
			continue
		}
		receipt := &roompb.Receipt{}
		if err := proto.Unmarshal(rec.Body, receipt); err != nil {
			return nil, fmt.Errorf("decode receipt at %d: %w", rec.Position, err)
		}
		receipt.Position = rec.Position
		resp.Receipts = append(resp.Receipts, receipt)
	}
	return resp, nil
}
