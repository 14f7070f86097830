package sync

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// whole puts a joined room together as if the client had never seen it: the newest events, and the whole state before
// them.
func (a *answer) whole(ctx context.Context, c *live.Change) ([]byte, error) {
	p := &part{}
	p.reset(c)
	t, err := a.readTimeline(ctx, c.RoomID, 0, a.through(c), a.s.firstEvents(a.r))
	if err != nil {
		return nil, err
	}
	p.timeline, p.startSeq, p.startPosition = t.events, t.StartSeq, t.StartPosition
	p.limited = t.Limited || a.r.anew
	sum, err := a.readSummary(ctx, c.RoomID, t.EndSeq)
	if err != nil {
		return nil, err
	}
	p.summary = newSummary(sum.Summary)
	if err := a.addWholeState(ctx, p, t); err != nil {
		return nil, err
	}
	return a.finishFar(ctx, p, c, true)
}

// addWholeState adds the state at the start of the timeline, or at its end where that is wanted. Of the members a
// lazy-loading client gets those that the timeline and the summary need, and its own.
func (a *answer) addWholeState(ctx context.Context, p *part, t *far) error {
	if at := a.stateSeq(t); at > 0 {
		req := &roompb.StateRequest{RoomId: p.id, AtSeq: at, Lazy: a.r.filter.Room.State.LazyLoadMembers}
		if req.Lazy {
			req.Keys = lazyKeys(p, a.r.user)
		}
		var err error
		if p.state, err = a.readState(ctx, req); err != nil {
			return err
		}
		hideReplaced(p.state, t.StartSeq)
	}
	if a.filtersTimeline() && !a.r.wantsStateAfter() {
		if err := a.addFiltered(ctx, p, t); err != nil {
			return err
		}
	}
	a.remember(p.state)
	a.remember(p.timeline)
	return nil
}

// hideReplaced leaves out of the state at the start of a timeline what it replaced: that may be hidden from who came later, and nobody
// asks for it of state.
func hideReplaced(state []shown, start int64) {
	for i := range state {
		if e := state[i].Event; e.Seq <= start && e.PrevContent != nil {
			plain := *e
			plain.ReplacesState, plain.PrevContent = "", nil
			state[i].Event = &plain
		}
	}
}

// filtersTimeline tells whether the timeline may lack state events of its time.
func (a *answer) filtersTimeline() bool { return !a.r.filter.Room.Timeline.PassesAll() }

// addFiltered adds the state that changed within the timeline where a filter has taken the change out of it.
func (a *answer) addFiltered(ctx context.Context, p *part, t *far) error {
	if t.StartSeq >= t.EndSeq {
		return nil
	}
	req := &roompb.StateRequest{RoomId: p.id, AtSeq: t.EndSeq, AfterSeq: t.StartSeq}
	if t.StartSeq == 0 {
		req.AfterSeq = 0
	}
	changed, err := a.readState(ctx, req)
	if err != nil {
		return err
	}
	for _, e := range changed {
		if !contains(p.timeline, e.ID) && e.Seq > t.StartSeq {
			p.state = append(p.state, e)
		}
	}
	return nil
}

func contains(list []shown, id matrix.EventID) bool {
	for i := range list {
		if list[i].ID == id {
			return true
		}
	}
	return false
}

// lazyKeys are the members that a lazy-loading client needs of a room that is new to it.
func lazyKeys(p *part, self string) []*roompb.StateKey {
	var keys []*roompb.StateKey
	seen := map[string]bool{}
	add := func(user string) {
		if !seen[user] {
			seen[user] = true
			keys = append(keys, &roompb.StateKey{Type: event.TypeMember, StateKey: user})
		}
	}
	add(self)
	for i := range p.timeline {
		add(string(p.timeline[i].Sender))
	}
	if p.summary != nil && p.summary.hasHeroes {
		for _, user := range p.summary.heroes {
			add(user)
		}
	}
	return keys
}

// finishFar adds what does not come from the room's history and encodes the part.
func (a *answer) finishFar(ctx context.Context, p *part, c *live.Change, whole bool) ([]byte, error) {
	data, marks := dataOf(a.entries[c.RoomID]), marksOf(a.entries[c.RoomID])
	since := &a.r.from
	if whole {
		entries, err := a.all.of(ctx, a, c.RoomID)
		if err != nil {
			return nil, err
		}
		data, marks = dataOf(entries), marksOf(entries)
		since = &live.Cut{}
	}
	a.addTyping(p, c.Room, since)
	a.addReceipts(p, a.receipts[c.RoomID], marks)
	a.addData(p, data)
	p.hasUnread = whole || len(marks) > 0
	if p.empty() {
		return nil, nil
	}
	if err := a.addUnread(ctx, p, c); err != nil {
		return nil, err
	}
	return a.appendJoinedPart(nil, p), nil
}
