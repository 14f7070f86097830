package sync

import (
	"context"
	"strconv"

	roompb "hongyan/api/room"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// summary is the summary of a room.
type summary struct {
	heroes          []string
	hasHeroes       bool
	joined, invited int64
}

// mostHeroes is how many heroes a summary has.
const mostHeroes = 5

// addSummary adds the summary of a room whose members changed in events: from memory, where the numbers are known and
// the heroes cannot have changed.
func (a *answer) addSummary(ctx context.Context, p *part, c *live.Change, events []*live.Event) error {
	last := events[len(events)-1].Seq
	counts, known := c.Room.Facts.Counts()
	if known && counts.Seq <= last && (counts.Named || !heroesChange(counts, events)) {
		p.summary = &summary{joined: counts.Joined, invited: counts.Invited}
		return nil
	}
	resp, err := a.readSummary(ctx, c.RoomID, last)
	if err != nil {
		return err
	}
	s := resp.Summary
	c.Room.Facts.PutCounts(live.Counts{Seq: resp.Seq, Joined: s.Joined, Invited: s.Invited, Named: s.Named})
	p.summary = newSummary(s)
	if p.summary.hasHeroes && a.r.filter.Room.State.LazyLoadMembers {
		return a.addHeroes(ctx, p, s.Heroes, last)
	}
	return nil
}

// heroesChange tells whether the heroes may be others after these events: somebody went, or there were too few.
func heroesChange(counts live.Counts, events []*live.Event) bool {
	for _, e := range events {
		if e.IsMember() && (e.Membership != event.Join && e.Membership != event.Invite) != (e.Before != event.Join && e.Before != event.Invite) {
			if e.Before == event.Join || e.Before == event.Invite || counts.Joined+counts.Invited <= 2*mostHeroes {
				return true
			}
		}
	}
	return false
}

// readSummary reads a room's summary as of a sequence number, and next to no state with it.
func (a *answer) readSummary(ctx context.Context, roomID string, at int64) (*roompb.StateResponse, error) {
	return a.s.deps.Room.State(ctx, &roompb.StateRequest{
		RoomId: roomID, AtSeq: at, SummaryFor: a.r.user, Keys: []*roompb.StateKey{{Type: event.TypeCreate}},
	})
}

// addHeroes adds the member events of heroes for a lazy-loading client.
func (a *answer) addHeroes(ctx context.Context, p *part, heroes []string, at int64) error {
	req := &roompb.StateRequest{RoomId: p.id, AtSeq: at}
	for _, user := range heroes {
		if !p.hasMember(user) {
			req.Keys = append(req.Keys, &roompb.StateKey{Type: event.TypeMember, StateKey: user})
		}
	}
	if len(req.Keys) == 0 {
		return nil
	}
	resp, err := a.s.deps.Room.State(ctx, req)
	if err != nil {
		return err
	}
	events, err := decodeAll(resp.Events)
	if err != nil {
		return err
	}
	for _, e := range events {
		a.addMember(p, e)
	}
	return nil
}

// hasMember tells whether the part tells a user's membership.
func (p *part) hasMember(user string) bool {
	for _, list := range [...][]shown{p.state, p.timeline} {
		for i := range list {
			if list[i].IsMember() && list[i].StateKey == user {
				return true
			}
		}
	}
	return false
}

func newSummary(s *roompb.Summary) *summary {
	return &summary{heroes: s.Heroes, hasHeroes: !s.Named, joined: s.Joined, invited: s.Invited}
}

func appendSummary(dst []byte, s *summary) []byte {
	if s == nil {
		return dst
	}
	dst = append(dst, `,"summary":{`...)
	if s.hasHeroes {
		dst = canonicaljson.AppendStrings(append(dst, `"m.heroes":`...), s.heroes)
		dst = append(dst, ',')
	}
	dst = strconv.AppendInt(append(dst, `"m.invited_member_count":`...), s.invited, 10)
	dst = strconv.AppendInt(append(dst, `,"m.joined_member_count":`...), s.joined, 10)
	return append(dst, '}')
}
