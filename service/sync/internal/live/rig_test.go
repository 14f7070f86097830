package live_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/platform/eventlog"
	"hongyan/service/sync/internal/live"
)

// world is a room log in memory and the databases that stand beside it, ahead of what a node has applied.
type world struct {
	t    testing.TB
	node *live.Node

	mu      sync.Mutex
	records [][]eventlog.Record // by shard; a record's position is its index + 1
	seqs    map[string]int64
	members map[string]map[string]eventlog.Record // user → room → newest member event
	status  map[string]map[string]string
	applied []int64
	now     time.Time
	entries map[string][]eventlog.Record
	asked   func()            // called after the rooms were read
	states  map[string]string // room, type and state key → id of the newest state event
}

const shards = 4

func newWorld(t testing.TB, cfg live.Config) *world {
	w := &world{
		t: t, records: make([][]eventlog.Record, shards), seqs: map[string]int64{}, applied: make([]int64, shards),
		members: map[string]map[string]eventlog.Record{}, status: map[string]map[string]string{},
		now: time.UnixMilli(1_000_000), entries: map[string][]eventlog.Record{},
		states: map[string]string{},
	}
	var err error
	w.node, err = live.New(cfg, live.Deps{
		Rooms: w.rooms, Clock: w.clock, Log: logx.WithContext(context.Background()),
		Entries: func(_ context.Context, user string) ([]eventlog.Record, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Clone(w.entries[user]), nil
		},
	})
	require.NoError(t, err)
	return w
}

func (w *world) start() *world {
	w.mu.Lock()
	heads := eventlog.Heads{Epoch: 1, Shard: make([]int64, shards)}
	for i := range heads.Shard {
		heads.Shard[i] = int64(len(w.records[i]))
		w.applied[i] = heads.Shard[i]
	}
	w.mu.Unlock()
	w.node.Start(heads, eventlog.Heads{Epoch: 2, Shard: make([]int64, shards)})
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// rooms answers as the room service does: from the database.
func (w *world) rooms(_ context.Context, user string) (*roompb.UserRoomsResponse, error) {
	if w.asked != nil {
		defer w.asked()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	resp := &roompb.UserRoomsResponse{Epoch: 1}
	for _, list := range w.records {
		resp.Heads = append(resp.Heads, int64(len(list)))
	}
	for room, r := range w.members[user] {
		shard := eventlog.ShardOf(room, shards)
		row := &roompb.UserRoom{
			RoomId: room, Shard: int32(shard), Membership: w.status[user][room], Position: r.Position, Seq: r.Seq,
		}
		for _, other := range w.records[shard] {
			if other.Name == room {
				row.HeadPosition, row.HeadSeq = other.Position, other.Seq
			}
		}
		resp.Rooms = append(resp.Rooms, row)
	}
	return resp, nil
}

// append writes an event to the log; nobody has applied it yet.
func (w *world) append(room, sender, eventType string, stateKey *string, content, before string) eventlog.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	shard := eventlog.ShardOf(room, shards)
	w.seqs[room]++
	state := ""
	if stateKey != nil {
		state = fmt.Sprintf(`"state_key":%q,`, *stateKey)
	}
	meta := &roompb.EventMeta{RoomVersion: "11"}
	id := fmt.Sprintf("$%s-%d", room[1:], w.seqs[room])
	if before != "" {
		meta.PrevContent = []byte(before)
	}
	if stateKey != nil {
		key := room + " " + eventType + " " + *stateKey
		meta.ReplacesState, w.states[key] = w.states[key], id
	}
	body, err := proto.Marshal(meta)
	require.NoError(w.t, err)
	r := eventlog.Record{
		Shard: shard, Position: int64(len(w.records[shard])) + 1, Name: room, Seq: w.seqs[room],
		Kind: eventlog.Kind(roompb.EntryKind_ENTRY_KIND_EVENT), Ref: id, Body: body,
		Doc: fmt.Appendf(nil, `{"content":%s,"origin_server_ts":%d,"room_id":%q,"sender":%q,%s"type":%q}`,
			content, w.seqs[room], room, sender, state, eventType),
	}
	w.records[shard] = append(w.records[shard], r)
	return r
}

func (w *world) say(room, sender string) eventlog.Record {
	return w.append(room, sender, "m.room.message", nil, `{"body":"hi","msgtype":"m.text"}`, "")
}

func (w *world) member(room, user, membership string) eventlog.Record {
	w.mu.Lock()
	before := ""
	if old := w.status[user][room]; old != "" {
		before = fmt.Sprintf(`{"membership":%q}`, old)
	}
	w.mu.Unlock()
	r := w.append(room, user, "m.room.member", &user, fmt.Sprintf(`{"membership":%q}`, membership), before)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.members[user] == nil {
		w.members[user], w.status[user] = map[string]eventlog.Record{}, map[string]string{}
	}
	w.members[user][room], w.status[user][room] = r, membership
	return r
}

// apply lets the node apply at most n records of a shard.
func (w *world) apply(shard, n int) {
	w.mu.Lock()
	from := w.applied[shard]
	list := w.records[shard][from:]
	if len(list) > n {
		list = list[:n]
	}
	list = slices.Clone(list)
	w.applied[shard] += int64(len(list))
	through := w.applied[shard]
	w.mu.Unlock()
	if len(list) > 0 {
		require.NoError(w.t, w.node.ApplyRooms(context.Background(), shard, list, through))
	}
}

func (w *world) applyAll() {
	for shard := range shards {
		w.apply(shard, 1<<20)
	}
}

// read reads events of a room from the log in a range of positions, as the room service does for who is far behind.
func (w *world) read(room string, after, through int64) []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var seqs []int64
	for _, r := range w.records[eventlog.ShardOf(room, shards)] {
		if r.Name == room && r.Position > after && r.Position <= through {
			seqs = append(seqs, r.Seq)
		}
	}
	return seqs
}

func (w *world) attach(user string) *live.User {
	u, err := w.node.Attach(context.Background(), user)
	require.NoError(w.t, err)
	return u
}

// client reads a user's news as a device does that comes back with each token.
type client struct {
	w    *world
	u    *live.User
	from live.Cut
	tick uint64
	// seen are the sequence numbers of each room, in the order of reading.
	seen map[string][]int64
}

func (w *world) client(user string) *client {
	return &client{w: w, u: w.attach(user), from: live.Cut{Rooms: make([]int64, shards)}, seen: map[string][]int64{}}
}

// sync reads what is new in joined rooms.
func (c *client) sync() {
	var cut live.Cut
	var changes []live.Change
	var next uint64
	for ok := false; !ok; {
		c.w.node.Cut(c.u, &cut)
		changes, next, ok = c.u.Changed(nil, &c.from, &cut, c.tick)
	}
	for i := range changes {
		ch := &changes[i]
		if ch.Room == nil {
			continue
		}
		if ch.Position > c.from.Rooms[ch.Shard] { // joined since: all of it is new
			c.seen[ch.RoomID] = c.w.read(ch.RoomID, 0, cut.Rooms[ch.Shard])
			continue
		}
		var r live.Range
		c.w.node.Range(ch.Room, c.from.Rooms[ch.Shard], cut.Rooms[ch.Shard], &r)
		if !r.Covered {
			c.seen[ch.RoomID] = append(c.seen[ch.RoomID], c.w.read(ch.RoomID, c.from.Rooms[ch.Shard], cut.Rooms[ch.Shard])...)
			continue
		}
		for _, e := range r.Events {
			c.seen[ch.RoomID] = append(c.seen[ch.RoomID], e.Seq)
		}
	}
	c.from, c.tick = live.Cut{Rooms: slices.Clone(cut.Rooms), User: cut.User, Clock: cut.Clock}, next
}

// requireAll demands that each joined room was read whole, once and in order.
func (c *client) requireAll(rooms ...string) {
	c.w.t.Helper()
	for _, room := range rooms {
		want := make([]int64, c.w.seqs[room])
		for i := range want {
			want[i] = int64(i) + 1
		}
		require.Equal(c.w.t, want, c.seen[room], "%s in %s", c.u.ID, room)
	}
}
