package room

import (
	"context"
	"fmt"

	"hongyan/matrix/synctoken"
)

// place is a place in a room's order: just after the event seq.
type place struct {
	seq int64
	// position is one in the room's shard that holds the events up to seq and none after; -1 if it is not known.
	position int64
}

// token encodes a place for clients, as a point that also serves as a position in the room's shard.
func (r *reads) token(ctx context.Context, v *view, p place) (string, error) {
	if p.position < 0 {
		var err error
		if p.position, err = r.log.PositionAt(ctx, v.stream(), p.seq); err != nil {
			return "", err
		}
	}
	t := synctoken.Token{RoomEpoch: r.log.Epoch(), Point: &synctoken.Point{Seq: p.seq}, Millis: r.clock().UnixMilli()}
	t.SetRoom(v.Shard, p.position)
	return t.String(), nil
}

// parseToken decodes a token of the room, sync's or one of ours. ok is false where it says nothing about the room as it
// is: another epoch, or a cut from before the user had to do with a room of this shard.
func (r *reads) parseToken(ctx context.Context, v *view, text string) (seq int64, ok bool, err error) {
	t, err := synctoken.Parse(text)
	if err != nil {
		return 0, false, err
	}
	if t.RoomEpoch != r.log.Epoch() {
		return 0, false, nil
	}
	position, known := t.Room(v.Shard)
	if t.Point != nil && (known || len(t.Rooms) == 0) {
		return min(t.Point.Seq, v.Seq), true, nil
	}
	if !known {
		return 0, false, nil
	}
	seq, err = r.log.SeqAt(ctx, v.stream(), position)
	if err != nil {
		return 0, false, fmt.Errorf("token of %s: %w", v.Name, err)
	}
	return seq, true, nil
}
