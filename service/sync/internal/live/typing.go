package live

import "time"

// typing is who types in a room, and until when.
type typing struct {
	until map[string]time.Time
}

// SetTyping notes that a user types in a room until a time, or does not any more when the time is past. Users in
// memory that are joined are told if that changes the list. It says nothing about rooms that are not in memory.
func (n *Node) SetTyping(roomID string, shardIndex int, userID string, until time.Time) {
	s := &n.shards[shardIndex]
	s.mu.Lock()
	defer s.mu.Unlock()
	room := s.rooms[roomID]
	if room == nil {
		return
	}
	_, before := room.typing.until[userID]
	now := until.After(n.deps.Clock())
	switch {
	case now:
		if room.typing.until == nil {
			room.typing.until = map[string]time.Time{}
		}
		room.typing.until[userID] = until
		s.typing[room] = struct{}{}
	case before:
		delete(room.typing.until, userID)
	}
	// That somebody has stopped is told in any case: readers may know of it from an instance that is no more.
	if before != now || !now {
		n.typingChanged(room)
	}
}

// ExpireTyping drops those whose time has passed and tells the others.
func (n *Node) ExpireTyping() {
	now := n.deps.Clock()
	for i := range n.shards {
		s := &n.shards[i]
		s.mu.Lock()
		for room := range s.typing {
			if room.typing.expire(now) {
				n.typingChanged(room)
			}
			if len(room.typing.until) == 0 {
				delete(s.typing, room)
			}
		}
		s.mu.Unlock()
	}
}

// expire drops those whose time has passed.
func (t *typing) expire(now time.Time) (changed bool) {
	for user, until := range t.until {
		if !until.After(now) {
			delete(t.until, user)
			changed = true
		}
	}
	return changed
}

// typingChanged tells a room's users. The shard's lock is held.
func (n *Node) typingChanged(room *Room) {
	room.typingAt.Store(n.clock.stamp())
	for _, m := range room.members {
		m.User.mu.Lock()
		m.User.touch(m, 0)
		m.User.wake()
		m.User.mu.Unlock()
	}
}

// TypingChanged tells whether the list of who types may be another than a reader was told: it has changed since, or the
// room was not in memory then.
func (r *Room) TypingChanged(since *Cut) bool {
	return r.typingAt.Load() > since.Clock || since.Typing != 0 && r.bornAt > since.Clock
}

// Typing returns who types in a room.
func (n *Node) Typing(room *Room) (users []string) {
	if room.typingAt.Load() == 0 {
		return nil
	}
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	for user := range room.typing.until {
		users = append(users, user)
	}
	return users
}

// IsTyping tells whether anybody types in a room.
func (n *Node) IsTyping(room *Room) bool {
	if room.typingAt.Load() == 0 {
		return false
	}
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(room.typing.until) > 0
}
