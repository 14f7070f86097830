package room

import (
	"slices"
	"sort"

	"hongyan/matrix/event"
)

// track is a value of a room's state over the room's order: what it was, from which sequence number on.
// A track is never changed; extend returns a longer one.
type track[V comparable] struct {
	// initial is the value before the first change.
	initial V
	changes []turn[V]
	// newest is the sequence number of the newest state event of the key, be it a change of the value or not.
	newest int64
}

// turn is where a value changed.
type turn[V comparable] struct {
	seq   int64
	value V
}

// at returns the value after the event with the sequence number.
func (t track[V]) at(seq int64) V {
	i := sort.Search(len(t.changes), func(i int) bool { return t.changes[i].seq > seq })
	if i == 0 {
		return t.initial
	}
	return t.changes[i-1].value
}

// extend returns the track with a newer state event.
func (t track[V]) extend(seq int64, value V) track[V] {
	if t.at(seq) != value {
		// Clipped, so that two tracks that are extended from the same one share nothing that is written.
		t.changes = append(slices.Clip(t.changes), turn[V]{seq, value})
	}
	t.newest = seq
	return t
}

// through returns the track as it was at a sequence number.
func (t track[V]) through(seq int64) track[V] {
	i := sort.Search(len(t.changes), func(i int) bool { return t.changes[i].seq > seq })
	t.changes = t.changes[:i:i]
	t.newest = min(t.newest, seq)
	return t
}

// after returns the changes after a sequence number.
func (t track[V]) after(seq int64) []turn[V] {
	i := sort.Search(len(t.changes), func(i int) bool { return t.changes[i].seq > seq })
	return t.changes[i:]
}

// span is a range of sequence numbers, both ends included.
type span struct{ first, last int64 }

// perspective is what a user may see of a room, as of one moment (client-server API, "Room history visibility"). The
// rules look at the state at each event; since visibility and the user's membership change at few events, the visible
// events are a few ranges, computed once.
type perspective struct {
	head       int64
	visibility track[event.HistoryVisibility]
	membership track[event.Membership]
	// spans are the visible events, ascending, neither overlapping nor adjacent.
	spans []span
	// lastJoin is where the user last became a member; 0 if never.
	lastJoin int64
}

// newPerspective computes what the rules make visible in a room whose newest event is head.
func newPerspective(head int64, visibility track[event.HistoryVisibility], membership track[event.Membership]) *perspective {
	p := &perspective{head: head, visibility: visibility.through(head), membership: membership.through(head)}
	for _, c := range p.membership.changes {
		if c.value == event.Join {
			p.lastJoin = c.seq
		}
	}
	p.computeSpans()
	return p
}

// computeSpans goes over the segments between two changes of either track. Within a segment all events are alike; the event
// at its start is the change itself, which may be seen if the state before or after it allows it.
func (p *perspective) computeSpans() {
	bounds := []int64{1}
	for _, c := range p.visibility.changes {
		bounds = append(bounds, c.seq)
	}
	for _, c := range p.membership.changes {
		bounds = append(bounds, c.seq)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	for i, first := range bounds {
		last := p.head
		if i+1 < len(bounds) {
			last = bounds[i+1] - 1
		}
		if p.allowedAt(first, first-1) || p.allowedAt(first, first) || p.ownEnd(first) {
			p.show(first, first)
		}
		if p.allowedAt(first, first) {
			p.show(first+1, last)
		}
	}
}

func (p *perspective) show(first, last int64) {
	switch n := len(p.spans); {
	case first > last || first > p.head:
	case n > 0 && p.spans[n-1].last+1 == first:
		p.spans[n-1].last = last
	default:
		p.spans = append(p.spans, span{first, last})
	}
}

// allowedAt applies the rules to an event at seq with the state as it was after the event at stateSeq.
func (p *perspective) allowedAt(seq, stateSeq int64) bool {
	visibility, membership := p.visibility.at(stateSeq), p.membership.at(stateSeq)
	switch {
	case visibility == event.VisibilityWorldReadable:
		return true
	case membership == event.Join:
		return true
	case visibility == event.VisibilityShared && p.lastJoin > seq:
		return true
	case visibility == event.VisibilityInvited && membership == event.Invite:
		return true
	}
	return false
}

// ownEnd says that the event at seq ended what the user had to do with the room: it is theirs to see, whatever the
// visibility, as otherwise a rejected invite would never go away.
func (p *perspective) ownEnd(seq int64) bool {
	before, after := p.membership.at(seq-1), p.membership.at(seq)
	return before != after && (after == event.Leave || after == event.Ban) &&
		(before == event.Join || before == event.Invite || before == event.Knock)
}

// sees reports whether the user may see the event at seq.
func (p *perspective) sees(seq int64) bool {
	i := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].last >= seq })
	return i < len(p.spans) && p.spans[i].first <= seq
}

// within returns the visible parts of a range, both ends included, ascending.
func (p *perspective) within(first, last int64) (spans []span) {
	for after := first - 1; ; after = spans[len(spans)-1].last {
		s, ok := p.spanForward(after, last)
		if !ok {
			return spans
		}
		spans = append(spans, s)
	}
}

// spanBackward returns the last part of (after, through] that is visible throughout.
func (p *perspective) spanBackward(after, through int64) (span, bool) {
	i := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].first > through }) - 1
	if i < 0 || p.spans[i].last <= after {
		return span{}, false
	}
	return span{max(p.spans[i].first, after+1), min(p.spans[i].last, through)}, after < through
}

// unbroken returns where the last part of (after, through] begins that is visible throughout, as what stands before it, and whether
// something of the range is visible before that.
func (p *perspective) unbroken(after, through int64) (from int64, earlier bool) {
	s, ok := p.spanBackward(after, through)
	if !ok {
		return after, false
	}
	_, earlier = p.spanBackward(after, s.first-1)
	return s.first - 1, earlier
}

// spanForward returns the first part of (after, through] that is visible throughout.
func (p *perspective) spanForward(after, through int64) (span, bool) {
	i := sort.Search(len(p.spans), func(i int) bool { return p.spans[i].last > after })
	if i == len(p.spans) || p.spans[i].first > through {
		return span{}, false
	}
	return span{max(p.spans[i].first, after+1), min(p.spans[i].last, through)}, after < through
}

// joined reports whether the user is a member now.
func (p *perspective) joined() bool { return p.membership.at(p.head) == event.Join }

// leftAt returns where a user who has been a member and is none any more stopped being one.
func (p *perspective) leftAt() (seq int64, ok bool) {
	if p.lastJoin == 0 || p.joined() {
		return 0, false
	}
	for _, c := range p.membership.changes {
		if c.seq > p.lastJoin {
			return c.seq, true
		}
	}
	return 0, false
}

// endedAt returns where the user last left, was banned, rejected an invite or withdrew a knock, if they are out now.
func (p *perspective) endedAt() (seq int64, ok bool) {
	now := p.membership.at(p.head)
	if now != event.Leave && now != event.Ban {
		return 0, false
	}
	for _, c := range slices.Backward(p.membership.changes) {
		if p.ownEnd(c.seq) {
			return c.seq, true
		}
	}
	return 0, false
}

// stateThrough returns as of which event the user may read the room's state and members: now for members, as of the
// leave for those who left, and now for anybody if the room is world-readable. ok is false for everybody else.
func (p *perspective) stateThrough() (seq int64, ok bool) {
	if p.joined() {
		return p.head, true
	}
	if seq, ok = p.leftAt(); ok {
		return seq, true
	}
	return p.head, p.visibility.at(p.head) == event.VisibilityWorldReadable
}

// timelineThrough is stateThrough for the timeline. It differs for those who left a room that is world-readable now: nothing
// that strangers may read is kept from them.
func (p *perspective) timelineThrough() (seq int64, ok bool) {
	if p.visibility.at(p.head) == event.VisibilityWorldReadable {
		return p.head, true
	}
	return p.stateThrough()
}
