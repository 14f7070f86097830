package live

import (
	"slices"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
)

// applyPurged forgets what was removed from a room. The shard's lock is held. Nobody is woken: that something is missing is no news,
// but to those who have not heard that they left a room which is gone.
func (n *Node) applyPurged(s *shard, r *eventlog.Record, room *Room, p *roompb.Purged) {
	if p.Room {
		n.forgetRoom(s, r)
		return
	}
	s.purges.put(r.Name, r.Position)
	if room != nil {
		n.ringBytes.Add(-room.purge(p))
	}
}

// purge forgets events that may be gone and all before them, so that the ring still knows all after its floor, and notes of that time.
// It returns how many bytes the events had.
func (r *Room) purge(p *roompb.Purged) (freed int64) {
	through := 0
	for i, e := range r.events {
		if !e.IsState && e.TS < p.BeforeMs && e.Seq < p.BeforeSeq {
			through = i + 1
		}
	}
	if through > 0 {
		freed = sizeOf(r.events[:through])
		r.floor = r.events[through-1].Position
		r.events = slices.Clone(r.events[through:])
		r.bytes -= freed
	}
	r.Notes.purge(p.BeforeSeq - 1)
	r.Memo.forget()
	r.purgedThrough.Store(max(r.purgedThrough.Load(), p.BeforeSeq-1))
	r.purges.Add(1)
	return freed
}

// PurgedThrough is the sequence number of the newest event that was removed from the room's past, as far as was heard of while it was
// in memory.
func (r *Room) PurgedThrough() int64 { return r.purgedThrough.Load() }

// Purges is how often something was removed from the room's past while it was in memory: what was counted before may be of events
// that are gone.
func (r *Room) Purges() int64 { return r.purges.Load() }

// forget forgets what was made of events.
func (m *Memo) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.entries[:])
}

// forgetRoom lets nobody be in a room that was removed. All had left it, and stay in memory as such: clients are still to hear of it.
// The events by which they did may have been removed before this node read them. The shard's lock is held.
func (n *Node) forgetRoom(s *shard, r *eventlog.Record) {
	n.usersMu.RLock()
	users := make([]*User, 0, len(n.users))
	for _, u := range n.users {
		users = append(users, u)
	}
	n.usersMu.RUnlock()
	for _, u := range users {
		u.mu.Lock()
		if m := u.rooms[r.Name]; m != nil && r.Position > m.state.Position {
			n.removed(s, m, r.Position)
		}
		u.mu.Unlock()
	}
}

// removed makes a user one who has left a room that is gone, at a position unless they had before. The locks of shard and user are
// held.
func (n *Node) removed(s *shard, m *Member, position int64) {
	if m.room != nil {
		n.leave(s, m)
	}
	if m.state.Membership == event.Leave || m.state.Membership == event.Ban {
		return
	}
	m.state = State{Membership: event.Leave, Position: position}
	m.User.touch(m, position)
	s.woken = append(s.woken, m.User)
}

// sameMoment tells whether nothing was removed since a beginning was looked up.
func (b *Beginning) sameMoment(r *Room) bool { return b.purges == r.purges.Load() }
