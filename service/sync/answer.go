package sync

import (
	"context"
	"runtime"
	"slices"
	"sync"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/matrix/synctoken"
	"hongyan/service/sync/internal/live"
)

// answer is one answer that is being put together. Its cut is what it is complete up to, its token the same for the client.
type answer struct {
	p    *waiting
	s    *Service
	node *live.Node
	r    *request
	u    *live.User
	view *live.View
	// now is in milliseconds since 1970.
	now int64

	ignored *ignored
	// entries are the new entries of the user's log, by room; under "" the global ones.
	entries map[string][]*live.Entry
	// receipts are those of rooms that are read from further back.
	receipts map[string][]*roompb.Receipt

	all allEntries

	ofKeys ofKeys

	mu sync.Mutex
	// members are the member events in the answer, as sessions remember them.
	members []uint64

	*scratch
}

// scratch is memory that goes from answer to answer.
type scratch struct {
	cut     live.Cut
	token   synctoken.Token
	changes []live.Change
	part    part
	ranges  live.Range
}

// release gives the scratch back, without what it points to.
func (s *Service) release(m *scratch) {
	clear(m.changes[:cap(m.changes)])
	clear(m.part.timeline[:cap(m.part.timeline)])
	clear(m.part.state[:cap(m.part.state)])
	clear(m.ranges.Events[:cap(m.ranges.Events)])
	clear(m.ranges.Receipts[:cap(m.ranges.Receipts)])
	m.part = part{timeline: m.part.timeline[:0], state: m.part.state[:0]}
	s.scratch.Put(m)
}

// answer puts together what is new for a request. The news tell whether that is anything; without news the body is only
// of use when last says that the client gets it in any case.
func (s *Service) answer(ctx context.Context, p *waiting, last bool) (body *[]byte, news bool, err error) {
	r, u, view := p.r, p.user, &p.view
	m, ok := s.scratch.Get().(*scratch)
	if !ok {
		m = &scratch{}
	}
	defer s.release(m)
	defer func() {
		if err != nil || !news && !last {
			p.endTurn() // nothing large is left
		}
	}()
	if r.initial() || r.fullState {
		if err := s.takeTurn(ctx, p); err != nil {
			return nil, false, err
		}
	}
	a := &answer{s: s, p: p, node: p.node, r: r, u: u, view: view, now: s.deps.Clock().UnixMilli(), scratch: m}
	changes, tick := a.take()
	if a.entries, err = a.newEntries(ctx); err != nil {
		return nil, false, err
	}
	changes = a.withData(changes)
	looked, err := a.glance(ctx, changes)
	if err != nil {
		return nil, false, err
	}
	if err := a.readKeys(ctx, looked); err != nil {
		return nil, false, err
	}
	if a.ofKeys.more && looked.secret && !a.allRooms() {
		return a.messagesOnly(), true, nil
	}
	if len(changes) == 0 && len(a.entries) == 0 && a.ofKeys.empty() && !last {
		return nil, false, nil
	}
	a.ignored = preferencesOf(u).ignored
	a.nextBatch(changes)
	next := a.token.String()

	body = s.buffers.get()
	dst := appendBeginning((*body)[:0], next)
	before := len(dst)
	dst = a.appendAccountData(dst)
	dst, err = a.appendRooms(ctx, dst, changes)
	dst = a.appendKeys(dst)
	news = len(dst) > before || a.ofKeys.news
	*body = appendEnd(dst, a.ofKeys.counts)
	if err != nil {
		s.buffers.put(body)
		return nil, false, err
	}
	if news || last {
		view.Issued(r.sinceText, next, tick, a.members)
		a.toldKeys(next)
	}
	return body, news, nil
}

// take takes a cut and reads what changed up to it.
func (a *answer) take() (changes []live.Change, tick uint64) {
	for {
		a.node.Cut(a.u, &a.cut)
		var ok bool
		if a.r.initial() || a.r.fullState {
			changes, tick, ok = a.u.All(a.changes[:0], &a.cut)
		} else {
			changes, tick, ok = a.u.Changed(a.changes[:0], &a.r.from, &a.cut, a.view.Tick)
		}
		a.changes = changes
		if ok {
			return changes, tick
		}
		runtime.Gosched() // a membership is being applied; its position follows at once
	}
}

// withData adds the joined rooms whose only news are in the user's log: where other rules may have made other counts, all that
// were counted.
func (a *answer) withData(changes []live.Change) []live.Change {
	if a.r.initial() || a.r.fullState {
		return changes
	}
	if a.judgesAnew() {
		known := len(changes)
		for _, c := range a.u.Counted(nil) {
			if c.Position <= a.cut.Rooms[c.Shard] && !hasChange(changes[:known], c.RoomID) {
				changes = append(changes, c)
			}
		}
	}
	for room := range a.entries {
		if room == "" || hasChange(changes, room) {
			continue
		}
		c, ok := a.u.Room(room)
		// One that the user has joined after the cut comes with the next answer.
		if ok && c.Membership == event.Join && c.Position <= a.cut.Rooms[c.Shard] {
			changes = append(changes, c)
		}
	}
	return changes
}

// judgesAnew tells whether what the user's log tells since the token changes which events count.
func (a *answer) judgesAnew() bool {
	return slices.ContainsFunc(a.entries[""], func(e *live.Entry) bool {
		return e.Data != nil && (e.Data.Type == live.TypePushRules || e.Data.Type == live.TypeIgnoredUsers)
	})
}

func hasChange(changes []live.Change, room string) bool {
	for i := range changes {
		if changes[i].RoomID == room {
			return true
		}
	}
	return false
}

// nextBatch makes the cut a token.
func (a *answer) nextBatch(changes []live.Change) {
	t := &a.token
	*t = synctoken.Token{Millis: a.cut.Clock, Typing: a.toldTyping(changes), Sync: a.cut.User, Rooms: t.Rooms[:0]}
	t.RoomEpoch, t.SyncEpoch = a.node.Epochs()
	a.nextKeys()
	a.u.Shards(func(shard int) {
		t.Rooms = append(t.Rooms, synctoken.ShardPosition{Shard: shard, Position: a.cut.Rooms[shard]})
	})
}

// prevBatch is the place before a part's timeline as a token: the same for every reader, whenever it is made.
func (a *answer) prevBatch(p *part) string {
	t := synctoken.Token{RoomEpoch: a.token.RoomEpoch, Point: &synctoken.Point{Seq: p.startSeq}}
	t.Rooms = []synctoken.ShardPosition{{Shard: p.shard, Position: p.startPosition}}
	return t.String()
}

// from is the client's position in a room's shard.
func (a *answer) from(c *live.Change) int64 { return a.r.from.Rooms[c.Shard] }

// through is up to where the answer tells of a room.
func (a *answer) through(c *live.Change) int64 { return a.cut.Rooms[c.Shard] }
