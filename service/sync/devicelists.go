package sync

import (
	"context"
	"slices"

	keyspb "hongyan/api/keys"
	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// glance is what the rooms' news say at a glance.
type glance struct {
	// moved tells that with whom the user shares an encrypted room may have changed; secret that there may be encrypted
	// events.
	moved, secret bool
}

// glance looks at the rooms with news, whatever the filter says of them.
func (a *answer) glance(ctx context.Context, changes []live.Change) (g glance, err error) {
	if a.r.initial() {
		return glance{moved: a.r.anew, secret: true}, nil
	}
	var far []*live.Change
	for i := range changes {
		c := &changes[i]
		switch {
		case c.Newest <= a.from(c):
		case c.Position > a.from(c) || c.Membership == event.Join && c.Room == nil:
			g = glance{moved: true, secret: true}
		case c.Room == nil:
		case !a.node.Glance(c.Room, a.from(c), a.through(c)).Covered:
			far = append(far, c)
		default:
			if err := a.glanceAt(ctx, c, &g); err != nil {
				return g, err
			}
		}
	}
	return g, a.glanceFar(ctx, far, &g)
}

// glanceFar looks at rooms whose rings do not reach back to the token, after they were made to: a look at memory then is
// enough for everybody who comes back, while each question for whom it concerns is one client's.
func (a *answer) glanceFar(ctx context.Context, far []*live.Change, g *glance) error {
	if len(far) == 0 || g.moved && g.secret {
		return nil
	}
	if len(far) >= manyRooms {
		if err := a.s.takeTurn(ctx, a.p); err != nil {
			return err
		}
	}
	err := a.eachRead(ctx, len(far), func(ctx context.Context, i int) error {
		c := far[i]
		err := a.fill(ctx, c, a.from(c))
		if err == nil && !a.node.Glance(c.Room, a.from(c), a.through(c)).Covered {
			_, err = a.isEncrypted(ctx, c) // remembered for the look that follows
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range far {
		if err := a.glanceAt(ctx, c, g); err != nil {
			return err
		}
	}
	return nil
}

// glanceAt looks at one joined room. Where memory does not have all of its news there may be anything among them.
func (a *answer) glanceAt(ctx context.Context, c *live.Change, g *glance) (err error) {
	look := a.node.Glance(c.Room, a.from(c), a.through(c))
	g.secret = g.secret || look.Secret || !look.Covered
	if g.moved = g.moved || look.Switched; !g.moved && (look.Moved || !look.Covered) {
		g.moved, err = a.isEncrypted(ctx, c)
	}
	return err
}

// isEncrypted tells whether a room is encrypted now; no room ceases to be.
func (a *answer) isEncrypted(ctx context.Context, c *live.Change) (bool, error) {
	e, err := a.stateNow(ctx, c, live.StateKey{Type: event.TypeEncryption})
	return e != nil, unavailable(err)
}

// changesAtOnce is up to how many changed device lists are read before it is asked whom they concern. Where more have changed
// since the token it is the other way round.
const changesAtOnce = 1000

// readDeviceLists reads whose device lists changed for the client since the token: of those who share an encrypted room
// with the user, and of the user; and with whom an encrypted room is shared now and was not then, or the opposite.
func (a *answer) readDeviceLists(ctx context.Context, g glance) error {
	k, lists := &a.ofKeys, a.changedLists(ctx, g.moved)
	switch {
	case g.moved:
	case lists.shared && len(lists.users) > 0:
		// Since the token nobody has come or gone: who changed shared a room then, and does now.
		slices.Sort(lists.users)
		k.changed = slices.Compact(lists.users)
		return nil
	case len(lists.users) == 0 && !lists.more:
		if k.known {
			a.p.keys.lists = k.lists // not to be asked for again while the request waits
		}
		return nil
	}
	req := &roompb.PeersRequest{UserId: a.r.user, After: a.momentSince(), Through: a.momentNow(), Users: lists.users, All: lists.more}
	peers, err := a.readPeers(ctx, req)
	if err != nil {
		return unavailable(err)
	}
	if lists.more {
		lists.users = a.changedOf(ctx, append(peers.GetShared(), a.r.user))
	}
	for _, u := range lists.users {
		_, shared := slices.BinarySearch(peers.GetShared(), u)
		_, began := slices.BinarySearch(peers.GetBegan(), u)
		if (shared || u == a.r.user) && !began {
			k.changed = append(k.changed, u)
		}
	}
	k.changed = append(k.changed, peers.GetBegan()...)
	slices.Sort(k.changed)
	k.changed = slices.Compact(k.changed)
	k.left = peers.GetEnded()
	return nil
}

// readPeers holds one of the service's reads while it asks.
func (a *answer) readPeers(ctx context.Context, req *roompb.PeersRequest) (*roompb.PeersResponse, error) {
	select {
	case a.s.reads <- struct{}{}:
		defer func() { <-a.s.reads }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return a.s.deps.Room.Peers(ctx, req)
}

// changedLists are the users whose device lists changed since the token and may concern the client.
type changedLists struct {
	users []string
	// more says that they are too many, shared that each of them shares an encrypted room with the user, or is the user.
	more, shared bool
}

// changedLists finds whose device lists changed: where somebody has moved, anybody's. Where that cannot be read now it is for a
// later answer.
func (a *answer) changedLists(ctx context.Context, moved bool) (c changedLists) {
	k, v := &a.ofKeys, &a.p.keys
	if !k.known || v.lists >= k.lists {
		return c
	}
	var ok bool
	c.users, c.shared, ok = v.dev.User.ChangedLists(nil, v.lists, k.lists)
	if ok && moved {
		c.users, ok = v.node.AllChangedLists(c.users, v.lists, k.lists)
	}
	switch {
	case ok && len(c.users) > changesAtOnce:
		return changedLists{more: true}
	case ok:
		return c
	}
	resp, ok := a.readChanges(ctx, &keyspb.DeviceListChangesRequest{
		After: v.lists, Through: k.lists, Viewer: a.r.user, Limit: changesAtOnce,
	})
	if !ok {
		k.lists = v.lists
		return changedLists{}
	}
	c = changedLists{more: resp.GetMore()}
	for _, u := range resp.GetUsers() {
		c.users = append(c.users, u.GetUserId())
	}
	if c.more {
		c.users = nil
	}
	return c
}

// changedOf returns those of the users whose device lists changed since the token.
func (a *answer) changedOf(ctx context.Context, of []string) (users []string) {
	k, v := &a.ofKeys, &a.p.keys
	for part := range slices.Chunk(of, changedOfAtOnce) {
		for after, more := v.lists, true; more; {
			resp, ok := a.readChanges(ctx, &keyspb.DeviceListChangesRequest{
				After: after, Through: k.lists, Users: part, Viewer: a.r.user,
			})
			if !ok {
				k.lists = v.lists
				return nil
			}
			for _, u := range resp.GetUsers() {
				users, after = append(users, u.GetUserId()), u.GetPosition()
			}
			more = resp.GetMore()
		}
	}
	return users
}

// changedOfAtOnce is of how many users one call asks.
const changedOfAtOnce = 10_000

// readChanges asks the service keys; ok is false where it does not answer.
func (a *answer) readChanges(ctx context.Context, req *keyspb.DeviceListChangesRequest) (*keyspb.DeviceListChangesResponse, bool) {
	if a.s.trouble.lasts.Load() {
		return nil, false
	}
	calling, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	resp, err := a.s.deps.Keys.DeviceListChanges(calling, req)
	if err != nil {
		a.s.trouble.suspect(ctx, "read changed device lists", err)
	}
	return resp, err == nil
}

// momentSince is what the token says of the rooms; nil if that is nothing.
func (a *answer) momentSince() *roompb.Moment {
	if a.r.anew {
		return nil
	}
	epoch, _ := a.node.Epochs()
	m := &roompb.Moment{Epoch: epoch, Positions: map[int32]int64{}}
	for shard, position := range a.r.from.Rooms {
		if position > 0 {
			m.Positions[int32(shard)] = position
		}
	}
	return m
}

// momentNow is the cut.
func (a *answer) momentNow() *roompb.Moment {
	epoch, _ := a.node.Epochs()
	m := &roompb.Moment{Epoch: epoch, Positions: map[int32]int64{}}
	a.u.Shards(func(shard int) { m.Positions[int32(shard)] = a.cut.Rooms[shard] })
	return m
}
