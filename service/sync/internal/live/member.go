package live

import (
	"sync/atomic"

	"hongyan/matrix/event"
)

// Member is a user's relation to one room, kept while the user is in memory.
type Member struct {
	User   *User
	RoomID string
	Shard  int

	// room is nil unless the user is joined; slot is the place in its members. They are changed under the locks of
	// shard and user and read under either.
	room *Room
	slot int

	// What follows is guarded by the user's lock.

	state State
	// changed is the newest position at which the room has something for the user.
	changed int64
	// tick orders the user's rooms by when they last changed.
	tick       uint64
	next, prev *Member

	// LoadedSeq is the sequence number of the room's newest event when the user came into memory; 0 where they joined later.
	// It is set before others see the member.
	LoadedSeq int64
	// LoadedPurged is the sequence number of the newest event that had been purged by then.
	LoadedPurged int64

	// Unread belongs to whoever counts what is unread.
	Unread atomic.Value
}

// State is what a membership is.
type State struct {
	Membership event.Membership
	// Position and Seq are those of the member event.
	Position, Seq int64
	// JoinedPosition and JoinedSeq are those of the event with which the present join began, where that was seen.
	JoinedPosition, JoinedSeq int64
	// Sender sent the member event: for an invite, who invites.
	Sender string
}

// Change is a room with news for a user, as it was when it was looked at.
type Change struct {
	*Member
	State
	// Newest is the newest position at which the room has something for the user.
	Newest int64
	// Room is nil unless the user is joined.
	Room *Room
}

// list is a user's rooms, the last changed first.
type list struct{ front, back *Member }

func (l *list) toFront(m *Member) {
	if l.front == m {
		return
	}
	l.remove(m)
	m.next = l.front
	if l.front != nil {
		l.front.prev = m
	} else {
		l.back = m
	}
	l.front = m
}

func (l *list) remove(m *Member) {
	if m.prev != nil {
		m.prev.next = m.next
	} else if l.front == m {
		l.front = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else if l.back == m {
		l.back = m.prev
	}
	m.next, m.prev = nil, nil
}
