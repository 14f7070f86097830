package live

import (
	"context"
	"fmt"
	"slices"

	"github.com/zeromicro/go-zero/core/logx"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
)

// Attach returns a user, brought into memory if need be, who stays there until Detach. Many may load at once: each waits
// for its turn, two requests of one user for one load.
func (n *Node) Attach(ctx context.Context, userID string) (*User, error) {
	select {
	case <-n.ready:
	case <-n.ended:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the logs: %w", ctx.Err())
	}
	for {
		u, first := n.enter(userID)
		if first {
			n.load(ctx, u)
		}
		select {
		case <-u.loaded:
		case <-ctx.Done():
			n.Detach(u)
			return nil, fmt.Errorf("load user: %w", ctx.Err())
		}
		if u.err == nil {
			return u, nil
		}
		n.Detach(u)
		if first || ctx.Err() != nil {
			return nil, u.err
		}
		// Whoever loaded the user failed, perhaps because its own client went away: try again.
	}
}

// Detach lets the user leave memory when nobody else needs it any more.
func (n *Node) Detach(u *User) {
	n.usersMu.Lock()
	defer n.usersMu.Unlock()
	u.refs--
	u.idleSince = n.deps.Clock()
}

// enter finds a user or makes one that the caller then must load.
func (n *Node) enter(userID string) (u *User, first bool) {
	n.usersMu.Lock()
	defer n.usersMu.Unlock()
	if u := n.users[userID]; u != nil {
		u.refs++
		return u, false
	}
	u = &User{
		ID: userID, Shard: eventlog.ShardOf(userID, len(n.userShards)), node: n, refs: 1,
		loaded: make(chan struct{}), rooms: map[string]*Member{}, shards: make([]uint64, (len(n.shards)+63)/64),
	}
	n.users[userID] = u
	return u, true
}

// user returns a user in memory, nil if there is none.
func (n *Node) user(id string) *User {
	n.usersMu.RLock()
	defer n.usersMu.RUnlock()
	return n.users[id]
}

// IsJoined tells whether memory knows that a user is joined to a room. No says nothing.
func (n *Node) IsJoined(userID, roomID string) bool {
	u := n.user(userID)
	if u == nil {
		return false
	}
	change, ok := u.Room(roomID)
	return ok && change.Membership == event.Join
}

// load fills a user in. Since the user is known by now, the log is applied to it from here on; what the databases
// say is merged with that.
func (n *Node) load(ctx context.Context, u *User) {
	err := n.tryLoad(ctx, u)
	if err != nil {
		u.err = fmt.Errorf("load user %s: %w", u.ID, err)
		n.forget(u)
	}
	close(u.loaded)
}

func (n *Node) tryLoad(ctx context.Context, u *User) error {
	n.loadsWaiting.Add(1)
	select {
	case n.loads <- struct{}{}:
		n.loadsWaiting.Add(-1)
		defer func() { <-n.loads }()
	case <-ctx.Done():
		n.loadsWaiting.Add(-1)
		return ctx.Err()
	}
	shard := &n.userShards[u.Shard]
	shard.mu.Lock() // no entry is being applied: later ones find the user
	floor := shard.applied.Load()
	shard.mu.Unlock()
	records, err := n.deps.Entries(ctx, u.ID)
	if err != nil {
		return fmt.Errorf("read the user log: %w", err)
	}
	n.mergeEntries(u, records, floor)
	rooms, err := n.deps.Rooms(ctx, u.ID)
	if err != nil {
		return fmt.Errorf("list the rooms: %w", err)
	}
	seen := make([]int64, len(n.shards))
	copy(seen, rooms.Heads)
	heads := slices.Clone(seen)
	for _, row := range rooms.Rooms {
		if int(row.Shard) >= len(n.shards) {
			return fmt.Errorf("room %s is in shard %d of %d", row.RoomId, row.Shard, len(n.shards))
		}
		n.mergeRoom(u, row, heads[row.Shard])
		seen[row.Shard] = max(seen[row.Shard], row.Position, row.HeadPosition)
	}
	u.mu.Lock()
	last := u.data.last
	u.mu.Unlock()
	// The databases may be ahead of what was applied; a cut must not be older than what was merged.
	return n.AwaitApplied(ctx, seen, u.Shard, last)
}

// mergeEntries takes over what the database has of the user's log.
func (n *Node) mergeEntries(u *User, records []eventlog.Record, floor int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.data.floor = max(u.data.floor, floor)
	for i := range records {
		e, err := DecodeEntry(&records[i])
		if err != nil {
			n.deps.Log.Errorw("skip entry of the user log", logx.Field("user", u.ID), logx.Field("error", err.Error()))
			continue
		}
		if e != nil {
			u.data.put(e)
		}
	}
}

// mergeRoom takes over what the database says of one room of the user, which tells of everything up to the shard's head.
func (n *Node) mergeRoom(u *User, row *roompb.UserRoom, head int64) {
	s := &n.shards[row.Shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return
	}
	m := u.membership(row.RoomId, int(row.Shard))
	m.LoadedSeq, m.LoadedPurged = row.HeadSeq, row.PurgedSeq
	if s.purges.after(row.RoomId, head, 1) > 0 { // since the database was asked, or it is not known any more
		m.LoadedPurged = row.HeadSeq
	}
	if row.Position >= m.state.Position {
		m.state = State{
			Membership: event.Membership(row.Membership), Position: row.Position, Seq: row.Seq,
			Sender: row.Sender,
		}
	}
	if m.room != nil && m.state.Membership != event.Join { // removed between the two looks at the database
		n.leave(s, m)
	}
	changed := max(m.changed, row.Position)
	if m.state.Membership == event.Join {
		if m.room == nil {
			n.join(s, m)
		}
		changed = max(changed, row.HeadPosition, row.ReceiptPosition,
			s.recent.after(row.RoomId, max(row.HeadPosition, head), s.applied.Load()))
	}
	u.touch(m, changed)
}

// join makes a user who is joined in the database one of the room's. The locks of shard and user are held.
func (n *Node) join(s *shard, m *Member) {
	room := s.rooms[m.RoomID]
	if room == nil {
		room = n.newRoom(s, m.RoomID, m.Shard, s.applied.Load())
	}
	room.add(m)
}
