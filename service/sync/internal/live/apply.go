package live

import (
	"bytes"
	"context"

	"github.com/tidwall/gjson"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
)

// decoded is a record that somebody in memory may need.
type decoded struct {
	record  *eventlog.Record
	event   *Event
	receipt *roompb.Receipt
	purged  *roompb.Purged
}

// ApplyRooms applies records of one shard of the room log, all up to and including through. Calls for one shard come
// one after the other and in order.
func (n *Node) ApplyRooms(_ context.Context, shardIndex int, records []eventlog.Record, through int64) error {
	s := &n.shards[shardIndex]
	all := n.decode(s, records)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range all {
		n.applyRecord(s, shardIndex, &all[i])
	}
	for _, room := range s.touched {
		for _, m := range room.members {
			m.User.mu.Lock()
			m.User.touch(m, room.touched)
			m.User.mu.Unlock()
		}
	}
	s.applied.Store(through)
	for _, room := range s.touched {
		room.touched = 0
		for _, m := range room.members {
			m.User.mu.Lock()
			m.User.wake()
			m.User.mu.Unlock()
		}
	}
	for _, u := range s.woken {
		u.mu.Lock()
		u.wake()
		u.mu.Unlock()
	}
	s.tellWatches(records)
	clear(s.touched)
	clear(s.woken)
	s.touched, s.woken = s.touched[:0], s.woken[:0]
	n.announce()
	return nil
}

// memberType is how the type of a member event stands in its JSON.
var memberType = []byte(`"m.room.member"`)

// decode parses, without holding up readers, the records that concern a room or a user in memory.
func (n *Node) decode(s *shard, records []eventlog.Record) []decoded {
	all := make([]decoded, len(records))
	live := make([]bool, len(records))
	s.mu.RLock()
	for i := range records {
		live[i] = s.rooms[records[i].Name] != nil
	}
	s.mu.RUnlock()
	for i := range records {
		r := &records[i]
		all[i].record = r
		if live[i] || r.Kind == eventlog.Kind(roompb.EntryKind_ENTRY_KIND_PURGED) || r.Kind == eventlog.Kind(roompb.EntryKind_ENTRY_KIND_EVENT) && n.concernsUser(r) {
			n.decodeRecord(&all[i])
		}
	}
	return all
}

// concernsUser tells whether a record is a member event of a user in memory.
func (n *Node) concernsUser(r *eventlog.Record) bool {
	if !bytes.Contains(r.Doc, memberType) {
		return false
	}
	return n.user(gjson.GetBytes(r.Doc, "state_key").Str) != nil
}

// decodeRecord fills d in. What cannot be read is skipped: it is the log's owner who must not write it.
func (n *Node) decodeRecord(d *decoded) {
	r := d.record
	var err error
	switch r.Kind {
	case eventlog.Kind(roompb.EntryKind_ENTRY_KIND_EVENT):
		var meta roompb.EventMeta
		if err = proto.Unmarshal(r.Body, &meta); err == nil {
			d.event, err = NewEvent(r.Ref, r.Position, r.Seq, r.Doc, &meta)
		}
	case eventlog.Kind(roompb.EntryKind_ENTRY_KIND_RECEIPT):
		d.receipt = &roompb.Receipt{}
		if err = proto.Unmarshal(r.Body, d.receipt); err == nil {
			d.receipt.Position = r.Position
		}
	case eventlog.Kind(roompb.EntryKind_ENTRY_KIND_PURGED):
		d.purged = &roompb.Purged{}
		err = proto.Unmarshal(r.Body, d.purged)
	}
	if err != nil {
		d.event, d.receipt, d.purged = nil, nil, nil
		n.deps.Log.Errorw("skip record of the room log", logx.Field("room", r.Name),
			logx.Field("position", r.Position), logx.Field("error", err.Error()))
	}
}

// applyRecord changes what is in memory. The shard's lock is held.
func (n *Node) applyRecord(s *shard, shardIndex int, d *decoded) {
	r := d.record
	room := s.rooms[r.Name]
	if d.purged != nil {
		n.applyPurged(s, r, room, d.purged)
		return
	}
	s.recent.put(r.Name, r.Position)
	if d.event == nil && d.receipt == nil {
		if room == nil && !(r.Kind == eventlog.Kind(roompb.EntryKind_ENTRY_KIND_EVENT) && n.concernsUser(r)) {
			return
		}
		n.decodeRecord(d) // the room or the user came into memory after decode looked
	}
	switch {
	case d.event != nil:
		if d.event.IsMember() {
			room = n.applyMember(s, shardIndex, room, d)
		}
		if room != nil {
			n.applyEvent(s, room, d.event)
		}
	case d.receipt != nil && room != nil:
		room.putReceipt(d.receipt, n.cfg.RoomReceipts)
		s.touch(room, r.Position)
	}
}

func (n *Node) applyEvent(s *shard, room *Room, e *Event) {
	if e.Position <= room.floor {
		return
	}
	if e.Redacts != "" {
		room.Notes.redact(e.Note)
		grown, err := room.redact(e)
		if err != nil {
			n.deps.Log.Errorw("redact event in memory", logx.Field("room", room.ID), logx.Field("error", err.Error()))
		}
		n.ringBytes.Add(grown)
	}
	n.ringBytes.Add(room.append(e, &n.cfg))
	room.Facts.apply(e)
	s.touch(room, e.Position)
}

// touch notes that a room has something for its members at a position.
func (s *shard) touch(room *Room, position int64) {
	if room.touched == 0 {
		s.touched = append(s.touched, room)
	}
	room.touched = position
}

// applyMember changes the membership of the user that a member event is about, if that user is in memory. It returns
// the event's room if it is in memory then.
func (n *Node) applyMember(s *shard, shardIndex int, room *Room, d *decoded) *Room {
	e := d.event
	u := n.user(e.StateKey)
	if u == nil {
		return room
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return room
	}
	m := u.membership(d.record.Name, shardIndex)
	if e.Position <= m.state.Position {
		return room
	}
	m.state = m.state.next(e)
	u.touch(m, e.Position)
	s.woken = append(s.woken, u)
	switch {
	case e.Membership == event.Join && m.room == nil:
		if room == nil {
			room = n.newRoom(s, d.record.Name, shardIndex, e.Position-1)
		}
		room.add(m)
	case e.Membership != event.Join && m.room != nil:
		n.leave(s, m)
		room = s.rooms[d.record.Name]
	}
	return room
}

// next is the state that a member event leads to.
func (s State) next(e *Event) State {
	n := State{Membership: e.Membership, Position: e.Position, Seq: e.Seq, Sender: string(e.Sender)}
	switch {
	case e.Membership != event.Join:
	case e.Before != event.Join:
		n.JoinedPosition, n.JoinedSeq = e.Position, e.Seq
	default:
		n.JoinedPosition, n.JoinedSeq = s.JoinedPosition, s.JoinedSeq
	}
	return n
}

// newRoom brings a room into memory that knows everything after a position. The shard's lock is held.
func (n *Node) newRoom(s *shard, id string, shardIndex int, floor int64) *Room {
	room := &Room{
		ID: id, Shard: shardIndex, floor: floor, receiptFloor: floor, filling: make(chan struct{}, 1), bornAt: n.clock.stamp(),
		Notes: Notes{total: &n.noteBytes, limit: n.cfg.NoteBytes},
	}
	s.rooms[id] = room
	return room
}

// add makes a user one of the room's. The locks of shard and user are held.
func (r *Room) add(m *Member) {
	m.room, m.slot = r, len(r.members)
	r.members = append(r.members, m)
}

// leave is add's opposite; the room leaves memory with its last member. The locks of shard and user are held.
func (n *Node) leave(s *shard, m *Member) {
	room := m.room
	last := len(room.members) - 1
	room.members[m.slot] = room.members[last]
	room.members[m.slot].slot = m.slot
	room.members[last] = nil
	room.members = room.members[:last]
	m.room, m.slot = nil, -1
	if last == 0 {
		delete(s.rooms, room.ID)
		n.ringBytes.Add(-room.bytes)
		room.bytes = 0
		room.Notes.leave()
	}
}
