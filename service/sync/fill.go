package sync

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/service/sync/internal/live"
)

// fill makes the ring of a joined room reach back to a position, or as far as a ring may: what one reader needs of the
// time before the room came into memory, all others who come back at the same time need too.
func (a *answer) fill(ctx context.Context, c *live.Change, after int64) error {
	return a.node.Fill(ctx, c.Room, func(ctx context.Context, begin live.Beginning) (*live.Older, error) {
		older := &live.Older{Floor: begin.Floor, ReceiptFloor: begin.ReceiptFloor}
		if after < begin.Floor && begin.Space >= leastFill {
			if err := a.readOlder(ctx, c, older, after, begin.Space); err != nil {
				return nil, err
			}
		}
		if after < begin.ReceiptFloor {
			resp, err := a.s.deps.Room.Receipts(ctx, &roompb.ReceiptsRequest{
				Rooms: []*roompb.ReceiptsOf{{RoomId: c.RoomID, After: after, Through: begin.ReceiptFloor}},
			})
			if err != nil {
				return nil, err
			}
			older.Receipts, older.ReceiptFloor = resp.Receipts, after
		}
		return older, nil
	})
}

// leastFill is for how many events a ring must have space to be filled at all.
const leastFill = 16

// readOlder reads the events of a room in (after, older.Floor], the newest of them if they are many.
func (a *answer) readOlder(ctx context.Context, c *live.Change, older *live.Older, after int64, most int) error {
	resp, err := a.s.deps.Room.Timeline(ctx, &roompb.TimelineRequest{
		RoomId: c.RoomID, UserId: a.r.user, After: after, Through: older.Floor,
		Limit: int32(min(most, a.s.cfg.MaxEvents)), EveryDevice: true,
	})
	if err != nil {
		return err
	}
	events := contiguous(resp.Events, resp.EndSeq)
	switch {
	case len(events) == 0 && resp.EndSeq > resp.AfterSeq:
		return nil // this reader does not see what other readers may
	case len(events) == 0 || events[0].Seq == resp.AfterSeq+1:
		older.Floor = after
	default:
		older.Floor = events[0].Position - 1
	}
	older.Events, err = decodeAll(events)
	return err
}

// contiguous returns the events at the end of a list that lack none up to a sequence number.
func contiguous(events []*roompb.Event, end int64) []*roompb.Event {
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Seq != end {
			return events[i+1:]
		}
		end--
	}
	return events
}
