package sync

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// readJoined asks where a user's present join began; 0 where they are not joined any more.
func (a *answer) readJoined(ctx context.Context, c *live.Change) (int64, error) {
	// Nothing is after the room's newest event: only the join is asked for.
	resp, err := a.s.deps.Room.Notes(ctx, &roompb.NotesRequest{RoomId: c.RoomID, JoinedBy: a.r.user, After: noNotes})
	if err != nil {
		return 0, err
	}
	return resp.JoinedSeq, nil
}

// noNotes is a sequence number that no event is after.
const noNotes = 1<<63 - 1

// renamed reads the user's name anew after their member event changed, and tells whether it is another one.
func (a *answer) renamed(ctx context.Context, c *live.Change, n *counter) (bool, error) {
	if n.nameSeq == 0 || n.nameSeq == c.Seq {
		return false, nil
	}
	before := n.name
	if err := a.readName(ctx, c, n); err != nil {
		return false, err
	}
	return n.name != before, nil
}

// readName reads the user's name in the room.
func (a *answer) readName(ctx context.Context, c *live.Change, n *counter) error {
	e, err := a.stateNow(ctx, c, live.StateKey{Type: event.TypeMember, Key: a.r.user})
	if err != nil {
		return err
	}
	n.name, n.nameSeq = "", max(c.Seq, 1)
	if e != nil {
		n.name = e.DisplayName
	}
	return nil
}

// stateNow reads a piece of a room's state, nil where there is none: from memory, and from the room's owner the first time.
func (a *answer) stateNow(ctx context.Context, c *live.Change, key live.StateKey) (*live.Event, error) {
	if c.Room != nil {
		if e, known := c.Room.Facts.State(key); known {
			return e, nil
		}
	}
	resp, err := a.s.deps.Room.State(ctx, &roompb.StateRequest{
		RoomId: c.RoomID, Keys: []*roompb.StateKey{{Type: key.Type, StateKey: key.Key}},
	})
	if err != nil {
		return nil, err
	}
	events, err := decodeAll(resp.Events)
	if err != nil {
		return nil, err
	}
	var e *live.Event
	if len(events) > 0 {
		e = events[0]
	}
	if c.Room != nil {
		c.Room.Facts.PutState(resp.Seq, map[live.StateKey]*live.Event{key: e})
	}
	return e, nil
}
