package sync

import (
	"context"
	"runtime"
	"sync"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/matrix/synctoken"
	"hongyan/service/sync/internal/live"
)

// answer is one answer that is being put together.
type answer struct {
	s    *Service
	r    *request
	u    *live.User
	view *live.View
	// cut is what the answer is complete up to, token the same for the client; now is in milliseconds since 1970.
	cut   live.Cut
	token synctoken.Token
	now   int64

	ignored *ignored
	// entries are the new entries of the user's log, by room; under "" the global ones.
	entries map[string][]*live.Entry
	// receipts are those of rooms that are read from further back.
	receipts map[string][]*roompb.Receipt

	all allEntries

	mu sync.Mutex
	// members are the member events in the answer, as sessions remember them.
	members []uint64

	// part and ranges are reused from room to room.
	part   part
	ranges live.Range
}

// answer puts together what is new for a request. The news tell whether that is anything; without news the body is only
// of use when last says that the client gets it in any case.
func (s *Service) answer(ctx context.Context, r *request, u *live.User, view *live.View, last bool) (body *[]byte, news bool, err error) {
	a := &answer{s: s, r: r, u: u, view: view, now: s.deps.Clock().UnixMilli()}
	changes, tick := a.take()
	if a.entries, err = a.newEntries(ctx); err != nil {
		return nil, false, err
	}
	changes = a.withData(changes)
	if len(changes) == 0 && len(a.entries) == 0 && !last {
		return nil, false, nil
	}
	a.ignored = preferencesOf(u).ignored
	a.token = a.nextBatch()
	next := a.token.String()

	body = s.buffers.get()
	dst := appendBeginning((*body)[:0], next)
	before := len(dst)
	dst = a.appendAccountData(dst)
	dst, err = a.appendRooms(ctx, dst, changes)
	news = len(dst) > before
	*body = appendEnd(dst)
	if err != nil {
		s.buffers.put(body)
		return nil, false, err
	}
	if news || last {
		view.Issued(r.sinceText, next, tick, a.members)
	}
	return body, news, nil
}

// take takes a cut and reads what changed up to it.
func (a *answer) take() (changes []live.Change, tick uint64) {
	for {
		a.s.node.Cut(a.u, &a.cut)
		var ok bool
		if a.r.initial() || a.r.fullState {
			changes, tick, ok = a.u.All(changes[:0], &a.cut)
		} else {
			changes, tick, ok = a.u.Changed(changes[:0], &a.r.from, &a.cut, a.view.Tick)
		}
		if ok {
			return changes, tick
		}
		runtime.Gosched() // a membership is being applied; its position follows at once
	}
}

// withData adds the joined rooms whose only news are in the user's log.
func (a *answer) withData(changes []live.Change) []live.Change {
	if a.r.initial() || a.r.fullState {
		return changes
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

func hasChange(changes []live.Change, room string) bool {
	for i := range changes {
		if changes[i].RoomID == room {
			return true
		}
	}
	return false
}

// nextBatch is the cut as a token.
func (a *answer) nextBatch() synctoken.Token {
	t := synctoken.Token{Millis: a.cut.Clock, Sync: a.cut.User}
	t.RoomEpoch, t.SyncEpoch = a.s.node.Epochs()
	t.Rooms = make([]synctoken.ShardPosition, 0, len(a.cut.Rooms))
	for shard, position := range a.cut.Rooms {
		if a.u.HasShard(shard) {
			t.Rooms = append(t.Rooms, synctoken.ShardPosition{Shard: shard, Position: position})
		}
	}
	return t
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
