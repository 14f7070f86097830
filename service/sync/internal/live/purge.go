package live

import roompb "hongyan/api/room"

// applyPurged forgets what was removed from a room. The shard's lock is held. Nobody is woken: that something is missing is no news.
func (n *Node) applyPurged(s *shard, roomID string, room *Room, p *roompb.Purged) {
	if p.Room {
		n.forgetRoom(s, roomID, room)
		return
	}
	if room != nil {
		n.ringBytes.Add(-room.purge(p))
	}
}

// purge forgets events and all notes, some of which are of events that are gone, and returns how many bytes the events had.
func (r *Room) purge(p *roompb.Purged) (freed int64) {
	left := make([]*Event, 0, len(r.events))
	for _, e := range r.events {
		if !e.IsState && e.TS < p.BeforeMs && e.Seq < p.BeforeSeq {
			freed += e.size()
			continue
		}
		left = append(left, e)
	}
	r.events = left
	r.bytes -= freed
	r.Notes.redact(nil)
	r.Memo.forget()
	r.purges.Add(1)
	return freed
}

// Purges is how often something was removed from the room's past while it was in memory: what was counted before may be of events
// that are gone.
func (r *Room) Purges() int64 { return r.purges.Load() }

// forget forgets what was made of events.
func (m *Memo) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.entries[:])
}

// forgetRoom takes a room that was removed from the users in memory. They had left it. The shard's lock is held.
func (n *Node) forgetRoom(s *shard, roomID string, room *Room) {
	if room != nil { // it cannot be: somebody would be in it
		for len(room.members) > 0 {
			m := room.members[0]
			m.User.mu.Lock()
			n.leave(s, m)
			m.User.mu.Unlock()
		}
	}
	n.usersMu.RLock()
	users := make([]*User, 0, len(n.users))
	for _, u := range n.users {
		users = append(users, u)
	}
	n.usersMu.RUnlock()
	for _, u := range users {
		u.mu.Lock()
		if m := u.rooms[roomID]; m != nil {
			u.order.remove(m)
			delete(u.rooms, roomID)
		}
		u.mu.Unlock()
	}
}

// sameMoment tells whether nothing was removed since a beginning was looked up.
func (b *Beginning) sameMoment(r *Room) bool { return b.purges == r.purges.Load() }
