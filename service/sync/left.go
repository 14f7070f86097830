package sync

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// leftOrGone is left; of a room that was removed meanwhile it tells that the user is in it no more, and there is nothing else to tell.
func (a *answer) leftOrGone(ctx context.Context, c *live.Change) ([]byte, error) {
	part, err := a.left(ctx, c)
	if !isGone(err) {
		return part, err
	}
	if a.r.initial() || c.Position <= a.from(c) {
		return nil, nil
	}
	return append(canonicaljson.AppendString(nil, c.RoomID), `:{}`...), nil
}

// left puts a room together that the user has left or was banned from, up to that event. State is told only where the
// user was joined.
func (a *answer) left(ctx context.Context, c *live.Change) ([]byte, error) {
	after, limit := a.from(c), a.s.newEvents(a.r)
	if a.r.initial() || c.Position <= a.from(c) {
		after, limit = 0, a.s.firstEvents(a.r)
	}
	through := min(a.through(c), c.Position)
	t, err := a.readTimeline(ctx, c.RoomID, after, through, limit)
	if err != nil {
		return nil, err
	}
	p := &part{}
	p.reset(c)
	p.timeline, p.limited = t.events, t.Limited || a.r.anew
	p.startSeq, p.startPosition = t.StartSeq, t.StartPosition
	seesState := len(t.Events) == 0 && t.StartSeq > 0 && a.wasJoined(ctx, c)
	if len(t.events) > 0 {
		first := &t.events[0]
		seesState = first.membership == event.Join ||
			first.IsMember() && first.StateKey == a.r.user && first.Before == event.Join
	}
	if seesState {
		if err := a.addLeftState(ctx, p, c, t); err != nil {
			return nil, err
		}
	} else if a.r.wantsStateAfter() {
		a.addOwnEnd(p)
	}
	entries, err := a.all.of(ctx, a, c.RoomID)
	if err != nil {
		return nil, err
	}
	a.addData(p, dataOf(entries))
	return a.appendLeftPart(nil, p), nil
}

// addOwnEnd adds the user's own member event, where the client takes no state from the timeline: it would go on believing
// that they are invited, or that they knock.
func (a *answer) addOwnEnd(p *part) {
	for i := len(p.timeline) - 1; i >= 0; i-- {
		if e := p.timeline[i]; e.IsMember() && e.StateKey == a.r.user {
			p.state = append(p.state, e)
			return
		}
	}
}

// addLeftState adds what changed of the state since the token if the client had the room then, or else all of it.
func (a *answer) addLeftState(ctx context.Context, p *part, c *live.Change, t *far) error {
	if t.AfterSeq > 0 && !a.r.fullState && a.wasJoinedAt(ctx, c) {
		return a.addGapState(ctx, p, t)
	}
	return a.addWholeState(ctx, p, t)
}

// wasJoinedAt tells whether the user was joined at the token.
func (a *answer) wasJoinedAt(ctx context.Context, c *live.Change) bool {
	rooms, err := a.s.deps.Room.UserRooms(ctx, &roompb.UserRoomsRequest{
		UserId: a.r.user, RoomIds: []string{c.RoomID}, WithForgotten: true,
		After: map[int32]int64{int32(c.Shard): a.from(c)},
	})
	// If in doubt the client gets the whole state.
	return err == nil && len(rooms.Rooms) == 1 && rooms.Rooms[0].MembershipAfter == string(event.Join)
}

// wasJoined tells whether the user was joined just before the event that ended it, where a filter has left no event to
// see that from.
func (a *answer) wasJoined(ctx context.Context, c *live.Change) bool {
	resp, err := a.s.deps.Room.State(ctx, &roompb.StateRequest{
		RoomId: c.RoomID, AtSeq: c.Seq, Keys: []*roompb.StateKey{{Type: event.TypeMember, StateKey: a.r.user}},
	})
	if err != nil || len(resp.Events) != 1 {
		return false
	}
	events, err := decodeAll(resp.Events)
	return err == nil && events[0].Before == event.Join
}
