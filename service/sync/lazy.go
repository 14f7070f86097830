package sync

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// addMembers adds the member events that a lazy-loading client needs to show the timeline: those of its senders as of a
// sequence number, which is that of the state in the answer, unless the client has them. room is nil where memory may
// not reach back so far.
func (a *answer) addMembers(ctx context.Context, p *part, room *live.Room, at int64) error {
	if !a.r.filter.Room.State.LazyLoadMembers {
		return nil
	}
	senders := a.missingSenders(p)
	known, missing := knownMembers(room, senders, at)
	if len(missing) > 0 {
		read, err := a.readMembers(ctx, p.id, room, missing, at)
		if err != nil {
			return err
		}
		known = append(known, read...)
	}
	for _, e := range known {
		a.addMember(p, e)
	}
	a.remember(p.timeline)
	return nil
}

// missingSenders are the senders of the timeline of whom nothing is told yet.
func (a *answer) missingSenders(p *part) []matrix.UserID {
	var senders []matrix.UserID
next:
	for i := range p.timeline {
		sender := p.timeline[i].Sender
		for _, s := range senders {
			if s == sender {
				continue next
			}
		}
		for j := range p.state {
			if p.state[j].IsMember() && p.state[j].StateKey == string(sender) {
				continue next
			}
		}
		// Whoever joins in the timeline had no membership before it.
		for j := range p.timeline[:i+1] {
			e := &p.timeline[j]
			if e.IsMember() && e.StateKey == string(sender) && (e.Before != event.Join || a.r.wantsStateAfter()) {
				continue next
			}
		}
		senders = append(senders, sender)
	}
	return senders
}

// knownMembers finds the member events that memory has, and whom it has none of.
func knownMembers(room *live.Room, senders []matrix.UserID, at int64) (known []*live.Event, missing []matrix.UserID) {
	for _, sender := range senders {
		if room == nil {
			missing = append(missing, sender)
			continue
		}
		e, ok := room.Facts.State(live.StateKey{Type: event.TypeMember, Key: string(sender)})
		switch {
		case !ok || e != nil && e.Seq > at:
			missing = append(missing, sender)
		case e != nil:
			known = append(known, e)
		}
	}
	return known, missing
}

// readMembers reads member events as of a sequence number, and keeps them for other readers of the room.
func (a *answer) readMembers(ctx context.Context, roomID string, room *live.Room, users []matrix.UserID, at int64) ([]*live.Event, error) {
	if at <= 0 {
		return nil, nil
	}
	req := &roompb.StateRequest{RoomId: roomID, AtSeq: at}
	for _, u := range users {
		req.Keys = append(req.Keys, &roompb.StateKey{Type: event.TypeMember, StateKey: string(u)})
	}
	resp, err := a.s.deps.Room.State(ctx, req)
	if err != nil {
		return nil, err
	}
	events, err := decodeAll(resp.Events)
	if err != nil {
		return nil, err
	}
	if room != nil {
		state := make(map[live.StateKey]*live.Event, len(users))
		for _, u := range users {
			state[live.StateKey{Type: event.TypeMember, Key: string(u)}] = nil
		}
		for _, e := range events {
			state[live.StateKey{Type: e.Type, Key: e.StateKey}] = e
		}
		room.Facts.PutState(resp.Seq, state)
	}
	return events, nil
}

// addMember adds a member event to the state unless the client has it for certain.
func (a *answer) addMember(p *part, e *live.Event) {
	for i := range p.state {
		if p.state[i].ID == e.ID {
			return
		}
	}
	key := hashEvent(e.ID)
	if !a.r.filter.Room.State.IncludeRedundantMembers && !a.r.initial() && a.view.Knows(key) {
		return
	}
	if !a.showsState(p.id, e) {
		return
	}
	p.state = append(p.state, shown{Event: e})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members = append(a.members, key)
}

// remember notes the member events that a lazy-loading client is sent.
func (a *answer) remember(events []shown) {
	if !a.r.filter.Room.State.LazyLoadMembers {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range events {
		if events[i].IsMember() {
			a.members = append(a.members, hashEvent(events[i].ID))
		}
	}
}

// decodeAll encodes events of the room's owner for readers.
func decodeAll(events []*roompb.Event) ([]*live.Event, error) {
	out := make([]*live.Event, len(events))
	for i, e := range events {
		var err error
		if out[i], err = live.NewEvent(e.EventId, e.Position, e.Seq, e.Pdu, e.Meta); err != nil {
			return nil, err
		}
	}
	return out, nil
}
