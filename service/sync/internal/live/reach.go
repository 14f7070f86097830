package live

import "hongyan/matrix/event"

// Joined calls found with every user in memory who is joined to a room.
func (n *Node) Joined(roomID string, shardIndex int, found func(userID string)) {
	if shardIndex >= len(n.shards) {
		return
	}
	s := &n.shards[shardIndex]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if room := s.rooms[roomID]; room != nil {
		for _, m := range room.members {
			found(m.User.ID)
		}
	}
}

// WakeAll tells everybody who waits that there may be something new.
func (n *Node) WakeAll() {
	n.usersMu.RLock()
	users := make([]*User, 0, len(n.users))
	for _, u := range n.users {
		users = append(users, u)
	}
	n.usersMu.RUnlock()
	for _, u := range users {
		u.mu.Lock()
		u.wake()
		u.mu.Unlock()
	}
}

// Glance is what a range of a room's events says at a glance.
type Glance struct {
	// Covered tells that memory has the whole range; without that the rest says nothing.
	Covered bool
	// Moved tells that users joined or left, Switched that the room became encrypted, Secret that there are encrypted events.
	Moved, Switched, Secret bool
}

// Glance looks at what happened in a room in (after, through].
func (n *Node) Glance(room *Room, after, through int64) Glance {
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	g := Glance{Covered: after >= room.floor}
	if !g.Covered {
		return g
	}
	for _, e := range room.events[searchEvents(room.events, after):] {
		if e.Position > through {
			break
		}
		switch {
		case e.IsMember():
			g.Moved = g.Moved || (e.Membership == event.Join) != (e.Before == event.Join)
		case e.IsState:
			g.Switched = g.Switched || e.Type == event.TypeEncryption && e.StateKey == ""
		default:
			g.Secret = g.Secret || e.Type == event.TypeEncrypted
		}
	}
	return g
}
