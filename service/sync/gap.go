package sync

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// gap puts a joined room together whose news reach further back than memory, or that an unusual filter asks for: from
// the room's owner, the newest events since the token and the state that changed before them.
func (a *answer) gap(ctx context.Context, c *live.Change) ([]byte, error) {
	if c.Position > a.from(c) {
		all, err := a.joinedAllTheTime(ctx, c)
		if err != nil {
			return nil, err
		}
		if !all {
			return a.whole(ctx, c)
		}
	}
	p := &part{}
	p.reset(c)
	t, err := a.readTimeline(ctx, c.RoomID, a.from(c), a.through(c), a.s.newEvents(a.r))
	if err != nil {
		return nil, err
	}
	if t.AfterSeq == 0 {
		return a.whole(ctx, c)
	}
	p.timeline, p.limited = t.events, t.Limited
	if t.EndSeq > t.AfterSeq {
		p.startSeq, p.startPosition = t.StartSeq, t.StartPosition
	}
	if a.r.fullState {
		err = a.addWholeState(ctx, p, t)
	} else {
		err = a.addGapState(ctx, p, t)
	}
	if err != nil {
		return nil, err
	}
	changed := p.changesMembers()
	if err := a.addMembers(ctx, p, nil, a.stateSeq(t)); err != nil {
		return nil, err
	}
	if changed || a.r.fullState {
		sum, err := a.readSummary(ctx, c.RoomID, t.EndSeq)
		if err != nil {
			return nil, err
		}
		p.summary = newSummary(sum.Summary)
		if p.summary.hasHeroes && a.r.filter.Room.State.LazyLoadMembers {
			if err := a.addHeroes(ctx, p, p.summary.heroes, t.EndSeq); err != nil {
				return nil, err
			}
		}
	}
	return a.finishFar(ctx, p, c, false)
}

// addGapState adds the state that changed between the token and the start of the timeline, or its end where that is
// wanted. Members that changed in the gap come even to a lazy-loading client.
func (a *answer) addGapState(ctx context.Context, p *part, t *far) error {
	if at := a.stateSeq(t); at > t.AfterSeq {
		var err error
		if p.state, err = a.readState(ctx, &roompb.StateRequest{RoomId: p.id, AtSeq: at, AfterSeq: t.AfterSeq}); err != nil {
			return err
		}
	}
	if a.filtersTimeline() && !a.r.wantsStateAfter() {
		return a.addFiltered(ctx, p, t)
	}
	return nil
}

// stateSeq is the sequence number of the state that a timeline needs.
func (a *answer) stateSeq(t *far) int64 {
	if a.r.wantsStateAfter() {
		return t.EndSeq
	}
	return t.StartSeq
}

// changesMembers tells whether the part tells of a changed membership.
func (p *part) changesMembers() bool {
	for _, list := range [...][]shown{p.state, p.timeline} {
		for i := range list {
			if list[i].IsMember() && list[i].Membership != list[i].Before {
				return true
			}
		}
	}
	// Whether a member's newest change only was of the profile does not say what came before it in the gap.
	return p.limited
}

// maxMemberChanges bounds the member events of a gap that are looked at.
const maxMemberChanges = 200

// joinedAllTheTime tells whether a user who is joined, and whose member event changed since the token, was joined all the
// time since. If in doubt it says no: the client then gets the whole room.
func (a *answer) joinedAllTheTime(ctx context.Context, c *live.Change) (bool, error) {
	rooms, err := a.s.deps.Room.UserRooms(ctx, &roompb.UserRoomsRequest{
		UserId: a.r.user, RoomIds: []string{c.RoomID}, After: map[int32]int64{int32(c.Shard): a.from(c)},
	})
	if err != nil {
		return false, err
	}
	if len(rooms.Rooms) != 1 || rooms.Rooms[0].MembershipAfter != string(event.Join) {
		return false, nil
	}
	resp, err := a.s.deps.Room.Timeline(ctx, &roompb.TimelineRequest{
		RoomId: c.RoomID, UserId: a.r.user, After: a.from(c), Through: a.through(c), Limit: maxMemberChanges,
		Filter: []byte(`{"types":["m.room.member"]}`),
	})
	if err != nil || resp.Limited {
		return false, err
	}
	events, err := decodeAll(resp.Events)
	return err == nil && !rejoined(events, a.r.user), err
}
