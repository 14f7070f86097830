package sync

import (
	"context"

	"github.com/tidwall/gjson"

	"hongyan/matrix/event"
	"hongyan/matrix/filter"
	"hongyan/service/sync/internal/live"
)

// appendJoined appends a joined room all of whose news are in r: no database is asked, but for members that a
// lazy-loading client lacks, summaries and unread counts that are not in memory yet. It appends nothing where there is
// nothing to tell.
func (a *answer) appendJoined(ctx context.Context, dst []byte, c *live.Change, p *part, r *live.Range) ([]byte, error) {
	p.reset(c)
	events := r.Events
	first := a.fillTimeline(p, events)
	if err := a.addRelations(ctx, p, c, events); err != nil {
		return dst, err
	}
	a.fillState(p, events, first)
	a.addTyping(p, c.Room, &a.r.from)
	marks := marksOf(a.entries[c.RoomID])
	a.addReceipts(p, r.Receipts, marks)
	a.addData(p, dataOf(a.entries[c.RoomID]))
	at := p.startSeq
	if len(events) > 0 && a.r.wantsStateAfter() {
		at = events[len(events)-1].Seq
	}
	if err := a.addMembers(ctx, p, c.Room, at); err != nil {
		return dst, err
	}
	if hasMembershipChange(events) {
		if err := a.addSummary(ctx, p, c, events); err != nil {
			return dst, err
		}
	}
	p.hasUnread = len(marks) > 0
	if p.empty() {
		return dst, nil
	}
	if p.onlyTypingEnded() && c.Unread.Load() == nil {
		// The client has the counts, and memory would have to read them: after a restart, of many rooms at once.
		p.noUnread = true
		return a.appendJoinedPart(dst, p), nil
	}
	if err := a.addUnread(ctx, p, c); err != nil {
		return dst, err
	}
	return a.appendJoinedPart(dst, p), nil
}

// fillTimeline takes the newest events that pass the filter and returns the index of the first of them.
func (a *answer) fillTimeline(p *part, events []*live.Event) (first int) {
	limit := a.s.newEvents(a.r)
	first = len(events)
	n := 0
	for i := len(events) - 1; i >= 0; i-- {
		if !a.shows(p.id, events[i]) {
			continue
		}
		if n == limit {
			p.limited = true
			break
		}
		first = i
		n++
	}
	for _, e := range events[first:] {
		if a.shows(p.id, e) {
			p.timeline = append(p.timeline, shown{Event: e, membership: event.Join})
		}
	}
	switch {
	case n > 0:
		p.startSeq, p.startPosition = events[first].Seq-1, events[first].Position-1
	case len(events) > 0:
		last := events[len(events)-1]
		p.startSeq, p.startPosition = last.Seq, last.Position
	}
	return first
}

// shows tells whether an event may stand in the timeline.
func (a *answer) shows(roomID string, e *live.Event) bool {
	if a.ignored != nil && !e.IsState && a.ignored.sends(string(e.Sender)) {
		return false
	}
	f := &a.r.filter.Room.Timeline
	return a.r.filter.IsTrivial() || f.Match(subjectOf(f, roomID, e))
}

// subjectOf is what a filter looks at in an event.
func subjectOf(f *filter.RoomEventFilter, roomID string, e *live.Event) filter.Subject {
	s := filter.Subject{Type: e.Type, Sender: string(e.Sender), RoomID: roomID, RelType: e.RelType}
	if f.ContainsURL != nil {
		s.HasURL = gjson.GetBytes(e.Content(), "url").Exists()
	}
	return s
}

// fillState adds the state that changed and is not told by the timeline: what changed before its first event, and later
// changes that the filter took out. Under state_after it is all that changed.
func (a *answer) fillState(p *part, events []*live.Event, first int) {
	for i, e := range events {
		if !e.IsState {
			continue
		}
		if a.r.wantsStateAfter() {
			if !replaced(events[i+1:], e) && a.showsState(p.id, e) {
				p.state = append(p.state, shown{Event: e, membership: event.Join})
			}
			continue
		}
		if i >= first && a.shows(p.id, e) {
			continue
		}
		end := len(events)
		if i < first {
			end = first
		}
		if !replaced(events[i+1:end], e) && a.showsState(p.id, e) {
			p.state = append(p.state, shown{Event: e, membership: event.Join})
		}
	}
}

// replaced tells whether one of the later events replaces a state event.
func replaced(later []*live.Event, e *live.Event) bool {
	for _, l := range later {
		if l.IsState && l.Type == e.Type && l.StateKey == e.StateKey {
			return true
		}
	}
	return false
}

func (a *answer) showsState(roomID string, e *live.Event) bool {
	f := &a.r.filter.Room.State
	return a.r.filter.IsTrivial() || f.Match(subjectOf(f, roomID, e))
}

func hasMembershipChange(events []*live.Event) bool {
	for _, e := range events {
		if e.IsMember() && e.Membership != e.Before {
			return true
		}
	}
	return false
}
