package live

import (
	"math/bits"
	"sync"
	"time"

	"hongyan/matrix/event"
)

// User is a user in memory.
type User struct {
	ID string
	// Shard is the user's in the user log.
	Shard int

	node *Node
	// loaded is closed when the user is loaded or has failed to; err is set before.
	loaded chan struct{}
	err    error

	// refs and idleSince are guarded by the node's lock on users.
	refs      int
	idleSince time.Time

	mu       sync.Mutex
	gone     bool // left memory: joins no room any more
	rooms    map[string]*Member
	order    list
	tick     uint64
	waiters  []*Waiter
	sessions []*session
	uses     uint64
	shards   []uint64 // a bit for every shard in which the user has had a room
	data     data
}

// membership returns the user's relation to a room, made if there is none yet. The user's lock is held.
func (u *User) membership(roomID string, shard int) *Member {
	if m := u.rooms[roomID]; m != nil {
		return m
	}
	m := &Member{User: u, RoomID: roomID, Shard: shard, slot: -1, state: State{Membership: event.Leave}}
	u.rooms[roomID] = m
	u.shards[shard/64] |= 1 << (shard % 64)
	return m
}

// touch notes that a room has something new. The user's lock is held.
func (u *User) touch(m *Member, position int64) {
	m.changed = max(m.changed, position)
	u.tick++
	m.tick = u.tick
	u.order.toFront(m)
}

// Shards calls f with every shard in which the user has had a room, in order: a token names the positions of these only.
func (u *User) Shards(f func(shard int)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, word := range u.shards {
		for ; word != 0; word &= word - 1 {
			f(i*64 + bits.TrailingZeros64(word))
		}
	}
}

// Changed appends the rooms with something new in (since, cut], the last changed first. Rooms whose last change came
// no later than the tick need no look; 0 looks at all. It returns the tick to look from the next time. It fails when a
// room's membership is newer than the cut: take another.
func (u *User) Changed(dst []Change, since, cut *Cut, tick uint64) (changes []Change, next uint64, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	next = u.tick
	for m := u.order.front; m != nil && m.tick > tick; m = m.next {
		if m.state.Position > cut.Rooms[m.Shard] {
			return dst, 0, false
		}
		if m.isNewer(cut) {
			next = min(next, m.tick-1)
		}
		if m.isNewer(since) {
			dst = append(dst, Change{Member: m, State: m.state, Newest: m.changed, Room: m.room})
		}
	}
	return dst, next, true
}

// All appends all rooms of the user, the last changed first, and returns the tick to look from the next time. It fails as
// Changed does.
func (u *User) All(dst []Change, cut *Cut) (changes []Change, next uint64, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	next = u.tick
	for m := u.order.front; m != nil; m = m.next {
		if m.state.Position > cut.Rooms[m.Shard] {
			return dst, 0, false
		}
		if m.isNewer(cut) {
			next = min(next, m.tick-1)
		}
		dst = append(dst, Change{Member: m, State: m.state, Newest: m.changed, Room: m.room})
	}
	return dst, next, true
}

// Counted appends the joined rooms whose unread events somebody has counted.
func (u *User) Counted(dst []Change) []Change {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, m := range u.rooms {
		if m.state.Membership == event.Join && m.Unread.Load() != nil {
			dst = append(dst, Change{Member: m, State: m.state, Newest: m.changed, Room: m.room})
		}
	}
	return dst
}

// isNewer tells whether a room has something after a cut. The user's lock is held.
func (m *Member) isNewer(cut *Cut) bool {
	return m.changed > cut.Rooms[m.Shard] || m.room != nil && m.room.TypingChanged(cut)
}

// Room returns the user's relation to one room; false if there is none.
func (u *User) Room(roomID string) (Change, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.rooms[roomID]
	if m == nil {
		return Change{}, false
	}
	return Change{Member: m, State: m.state, Newest: m.changed, Room: m.room}, true
}

// Waiter is told when the user has something new.
type Waiter struct {
	// C receives after news; one message may stand for much news.
	C    chan struct{}
	user *User
}

// Wait registers a waiter, which must be closed. It misses nothing that happens after Wait returned.
func (u *User) Wait() *Waiter {
	w := &Waiter{C: make(chan struct{}, 1), user: u}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiters = append(u.waiters, w)
	return w
}

// Close unregisters the waiter.
func (w *Waiter) Close() {
	u := w.user
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, other := range u.waiters {
		if other == w {
			last := len(u.waiters) - 1
			u.waiters[i], u.waiters[last] = u.waiters[last], nil
			u.waiters = u.waiters[:last]
			return
		}
	}
}

// wake tells all waiters. The user's lock is held.
func (u *User) wake() {
	for _, w := range u.waiters {
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}
