package live

import "time"

// Sweep lets users leave memory who have been idle for long, and shortens the rings where they are more than
// they may be together.
func (n *Node) Sweep() {
	deadline := n.deps.Clock().Add(-n.cfg.UserIdle)
	for _, u := range n.idle(deadline) {
		n.evict(u)
	}
	if n.ringBytes.Load() > n.cfg.RingBytes {
		n.shorten()
	}
	if n.noteBytes.Load() > n.cfg.NoteBytes/2 {
		n.ageNotes()
	}
}

// ageNotes lets go of the notes of rooms whose past nobody has asked for since it was called last.
func (n *Node) ageNotes() {
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.RLock()
		for _, room := range s.rooms {
			room.Notes.age()
		}
		s.mu.RUnlock()
	}
}

// idle takes the users out of the index that nobody has needed since a time.
func (n *Node) idle(deadline time.Time) []*User {
	n.usersMu.Lock()
	defer n.usersMu.Unlock()
	var idle []*User
	for id, u := range n.users {
		if u.refs == 0 && u.idleSince.Before(deadline) {
			delete(n.users, id)
			idle = append(idle, u)
		}
	}
	return idle
}

// forget takes a user out of memory that failed to load.
func (n *Node) forget(u *User) {
	n.usersMu.Lock()
	if n.users[u.ID] == u {
		delete(n.users, u.ID)
	}
	n.usersMu.Unlock()
	n.evict(u)
}

// evict takes a user out of its rooms.
func (n *Node) evict(u *User) {
	u.mu.Lock()
	u.gone = true
	rooms := make([]*Member, 0, len(u.rooms))
	for _, m := range u.rooms {
		rooms = append(rooms, m)
	}
	u.mu.Unlock()
	for _, m := range rooms {
		s := &n.shards[m.Shard]
		s.mu.Lock()
		u.mu.Lock()
		if m.room != nil {
			n.leave(s, m)
		}
		u.mu.Unlock()
		s.mu.Unlock()
	}
}

// shorten halves rings until they fit, each at most down to a few events.
func (n *Node) shorten() {
	const least = 4
	for keep := n.cfg.RoomEvents / 2; keep >= least; keep /= 2 {
		for i := range n.shards {
			s := &n.shards[i]
			s.mu.Lock()
			for _, room := range s.rooms {
				if len(room.events) > keep {
					n.ringBytes.Add(-room.trim(keep))
				}
			}
			s.mu.Unlock()
		}
		if n.ringBytes.Load() <= n.cfg.RingBytes {
			return
		}
	}
}
