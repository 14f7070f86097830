package sync

import (
	"context"

	"golang.org/x/sync/errgroup"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/service/sync/internal/live"
)

// sections are the parts of "rooms", by name.
type sections struct {
	// far are the joined and left rooms that are read from further back.
	far []task
	// asked are the rooms that the user is invited to or knocks at.
	invited, knocked []string
	left             []task
	// kept are the rooms that the user has not forgotten; read when they are first asked for.
	kept map[string]bool
}

// task puts one room together, on a goroutine of its own.
type task struct {
	change live.Change
	run    func(ctx context.Context, c *live.Change) ([]byte, error)
}

// appendRooms appends "rooms" with all rooms of which there is something to tell; nothing if there is none.
func (a *answer) appendRooms(ctx context.Context, dst []byte, changes []live.Change) ([]byte, error) {
	start := len(dst)
	dst = append(dst, `,"rooms":{`...)
	empty := len(dst)
	var sec sections
	join := openSection(&dst, "join")
	for i := range changes {
		c := &changes[i]
		if !a.r.filter.Room.MatchRoom(c.RoomID) {
			continue
		}
		if err := a.sort(ctx, &dst, &join, c, &sec); err != nil {
			return dst, err
		}
	}
	if len(sec.far)+len(sec.left) >= manyRooms {
		if err := a.s.takeTurn(ctx, a.p); err != nil {
			return dst, err
		}
	}
	if err := a.readReceipts(ctx, sec.far); err != nil {
		return dst, err
	}
	if err := a.runTasks(ctx, &dst, &join, sec.far); err != nil {
		return dst, err
	}
	join.close(&dst)
	if err := a.appendStripped(ctx, &dst, &sec); err != nil {
		return dst, err
	}
	if len(sec.left) > 0 {
		leave := openSection(&dst, "leave")
		if err := a.runTasks(ctx, &dst, &leave, sec.left); err != nil {
			return dst, err
		}
		leave.close(&dst)
	}
	if len(dst) == empty {
		return dst[:start], nil
	}
	return append(dst, '}'), nil
}

// sort puts a room where it belongs, and appends it at once if it is a joined one that memory has all of.
func (a *answer) sort(ctx context.Context, dst *[]byte, join *section, c *live.Change, sec *sections) error {
	isNew := a.r.initial() || c.Position > a.from(c)
	switch c.Membership {
	case event.Join:
		return a.sortJoined(ctx, dst, join, c, sec)
	case event.Invite:
		if isNew && !a.ignored.invites(c.Sender) {
			sec.invited = append(sec.invited, c.RoomID)
		}
	case event.Knock:
		if isNew {
			sec.knocked = append(sec.knocked, c.RoomID)
		}
	default:
		older, err := a.showsOlder(ctx, sec, c)
		if err != nil {
			return err
		}
		if older || !a.r.initial() && isNew {
			sec.left = append(sec.left, task{*c, a.leftOrGone})
		}
	}
	return nil
}

// showsOlder tells whether a room that was left long ago comes: where the filter asks for it, and not once it is
// forgotten, of which no log tells.
func (a *answer) showsOlder(ctx context.Context, sec *sections, c *live.Change) (bool, error) {
	if !a.r.filter.Room.IncludeLeave || !a.r.initial() && !a.r.fullState {
		return false, nil
	}
	if sec.kept == nil {
		resp, err := a.s.deps.Room.UserRooms(ctx, &roompb.UserRoomsRequest{UserId: a.r.user})
		if err != nil {
			return false, err
		}
		sec.kept = make(map[string]bool, len(resp.Rooms))
		for _, room := range resp.Rooms {
			sec.kept[room.RoomId] = true
		}
	}
	return sec.kept[c.RoomID], nil
}

func (a *answer) sortJoined(ctx context.Context, dst *[]byte, join *section, c *live.Change, sec *sections) error {
	if a.r.initial() || c.Room == nil {
		sec.far = append(sec.far, task{*c, a.whole})
		return nil
	}
	if a.r.fullState || a.r.filter.EventFormat != eventFormatClient || a.r.filter.Room.Timeline.NeedsRelations() {
		sec.far = append(sec.far, task{*c, a.gap})
		return nil
	}
	if c.Newest > a.from(c) {
		a.node.Range(c.Room, a.from(c), a.through(c), &a.ranges)
	} else {
		// What is new is in no log of rooms: nothing need reach back to the token.
		a.ranges = live.Range{Covered: true, ReceiptsCovered: true, Events: a.ranges.Events[:0], Receipts: a.ranges.Receipts[:0]}
	}
	switch {
	case c.Newest <= a.from(c) && len(a.entries[c.RoomID]) == 0 && a.judgesAnew():
		sec.far = append(sec.far, task{*c, a.recounted})
	case !a.ranges.Covered && c.Position > a.from(c):
		sec.far = append(sec.far, task{*c, a.gap})
	case !a.covers(c, &a.ranges):
		sec.far = append(sec.far, task{*c, a.refilled})
	case c.Position > a.from(c) && rejoined(a.ranges.Events, a.r.user):
		sec.far = append(sec.far, task{*c, a.whole})
	default:
		before := len(*dst)
		join.next(dst)
		named := len(*dst)
		var err error
		if *dst, err = a.appendJoined(ctx, *dst, c, &a.part, &a.ranges); err != nil {
			return err
		}
		if len(*dst) == named {
			*dst = (*dst)[:before]
		}
	}
	return nil
}

// covers tells whether memory has all that is needed of a joined room.
func (a *answer) covers(c *live.Change, r *live.Range) bool {
	return r.Covered && r.ReceiptsCovered && (len(r.Events) == 0 || c.Unread.Load() != nil)
}

// refilled puts a joined room together after its ring was made to reach back to the token, and to what the user has
// read. Where a ring may not reach so far, the room's owner is asked for this reader alone.
func (a *answer) refilled(ctx context.Context, c *live.Change) ([]byte, error) {
	if err := a.fill(ctx, c, a.from(c)); err != nil {
		return nil, err
	}
	r, p := &live.Range{}, &part{}
	a.node.Range(c.Room, a.from(c), a.through(c), r)
	switch {
	case !r.Covered || !r.ReceiptsCovered:
		return a.gap(ctx, c)
	case c.Position > a.from(c) && rejoined(r.Events, a.r.user):
		return a.whole(ctx, c)
	}
	return a.appendJoined(ctx, nil, c, p, r)
}

// recounted puts a joined room together in which nothing happened but that its events may count otherwise.
func (a *answer) recounted(ctx context.Context, c *live.Change) ([]byte, error) {
	p := &part{}
	p.reset(c)
	a.addTyping(p, c.Room, &a.r.from)
	err := a.addUnread(ctx, p, c)
	if err != nil || p.empty() {
		return nil, err
	}
	return a.appendJoinedPart(nil, p), nil
}

// rejoined tells whether a user who is joined has not been all the time.
func rejoined(events []*live.Event, userID string) bool {
	for _, e := range events {
		if e.IsMember() && e.StateKey == userID && (e.Membership != event.Join || e.Before != event.Join) {
			return true
		}
	}
	return false
}

// runTasks runs tasks side by side and appends what they give.
func (a *answer) runTasks(ctx context.Context, dst *[]byte, sec *section, tasks []task) error {
	parts := make([][]byte, len(tasks))
	err := a.eachRead(ctx, len(tasks), func(ctx context.Context, i int) (err error) {
		if parts[i], err = tasks[i].run(ctx, &tasks[i].change); isGone(err) {
			parts[i], err = nil, nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range parts {
		if len(p) > 0 {
			sec.next(dst)
			*dst = append(*dst, p...)
		}
	}
	return nil
}

// eachRead reads from further back for each of n rooms, some of them side by side. Each holds one of the service's reads
// while it does.
func (a *answer) eachRead(ctx context.Context, n int, read func(ctx context.Context, i int) error) error {
	if n == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(a.s.cfg.RequestReads)
	for i := range n {
		group.Go(func() error {
			select {
			case a.s.reads <- struct{}{}:
				defer func() { <-a.s.reads }()
			case <-ctx.Done():
				return ctx.Err()
			}
			return read(ctx, i)
		})
	}
	return unavailable(group.Wait())
}
