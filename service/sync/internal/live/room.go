package live

import (
	"sort"
	"sync/atomic"

	roompb "hongyan/api/room"
	"hongyan/matrix"
)

// Room is a room that some user in memory is joined to. What is not said to be otherwise is guarded by its shard's lock.
type Room struct {
	ID    string
	Shard int

	// members are the users in memory that are joined, in no order.
	members []*Member
	// events are those at positions greater than floor, oldest first, all of them.
	events []*Event
	floor  int64
	bytes  int64
	// receipts are the newest public receipts at positions greater than receiptFloor, oldest first.
	receipts     []*roompb.Receipt
	receiptFloor int64
	// filling holds one token, of who reads older events.
	filling chan struct{}
	// touched is the newest position that the batch that is being applied put into the room; 0 outside of a batch.
	touched int64

	typing typing
	// typingAt is when the list of who types last changed, a stamp of the node's clock; bornAt is when the room came into
	// memory: nothing is known of who typed before.
	typingAt atomic.Int64
	bornAt   int64

	// Facts are what the room's readers asked for once and the log keeps current.
	Facts Facts
	// Notes are what is noted of its past.
	Notes Notes
	// Memo is what readers made of the newest events for each other.
	Memo Memo
	// purges counts how often something was removed from the room's past, purgedThrough is the newest event's sequence number.
	purges        atomic.Int64
	purgedThrough atomic.Int64
}

// Range is what happened in a room between two positions.
type Range struct {
	// Covered tells that Events are all there are.
	Covered bool
	Events  []*Event
	// ReceiptsCovered tells that Receipts are the newest of each user, type and thread.
	ReceiptsCovered bool
	Receipts        []*roompb.Receipt
}

// Range reads what happened at positions in (after, through] into r, whose slices it reuses.
func (n *Node) Range(room *Room, after, through int64, r *Range) {
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	r.Covered = after >= room.floor
	r.Events, r.Receipts = r.Events[:0], r.Receipts[:0]
	if r.Covered {
		lo := searchEvents(room.events, after)
		for _, e := range room.events[lo:] {
			if e.Position > through {
				break
			}
			r.Events = append(r.Events, e)
		}
	}
	r.Receipts, r.ReceiptsCovered = room.receiptsIn(r.Receipts, after, through)
}

// Receipts appends the receipts at positions in (after, through]. It fails where memory does not reach back so far.
func (n *Node) Receipts(dst []*roompb.Receipt, room *Room, after, through int64) (receipts []*roompb.Receipt, ok bool) {
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return room.receiptsIn(dst, after, through)
}

func (r *Room) receiptsIn(dst []*roompb.Receipt, after, through int64) (receipts []*roompb.Receipt, ok bool) {
	if after < r.receiptFloor {
		return dst, false
	}
	for i := len(r.receipts) - 1; i >= 0 && r.receipts[i].Position > after; i-- {
		if r.receipts[i].Position <= through {
			dst = append(dst, r.receipts[i])
		}
	}
	return dst, true
}

// searchEvents returns the index of the first event after a position.
func searchEvents(events []*Event, after int64) int {
	if len(events) == 0 || events[0].Position > after {
		return 0
	}
	return sort.Search(len(events), func(i int) bool { return events[i].Position > after })
}

// append adds the newest event and drops what is more than the ring may hold. It returns by how many bytes the ring
// grew.
func (r *Room) append(e *Event, limits *Config) int64 {
	before := r.bytes
	r.events = append(r.events, e)
	r.bytes += e.size()
	for len(r.events) > 1 && (len(r.events) > limits.RoomEvents || r.bytes > limits.RoomBytes) {
		r.dropOldest()
	}
	return r.bytes - before
}

func (r *Room) dropOldest() {
	oldest := r.events[0]
	r.floor = oldest.Position
	r.bytes -= oldest.size()
	r.events[0] = nil
	r.events = r.events[1:]
}

// trim keeps the newest events only and returns how many bytes were freed.
func (r *Room) trim(keep int) int64 {
	before := r.bytes
	for len(r.events) > keep {
		r.dropOldest()
	}
	r.events = append([]*Event(nil), r.events...)
	return before - r.bytes
}

// redact prunes what a redaction names wherever memory has it: the event in the ring and among the facts, and what
// other events quote of it. Readers that hold the old ones may show them once more, together with the redaction. It
// returns by how many bytes the ring grew.
func (r *Room) redact(because *Event) (grown int64, err error) {
	for i, e := range r.events {
		pruned, err := e.after(because)
		if err != nil {
			return grown, err
		}
		if pruned != e {
			by := pruned.size() - e.size()
			r.events[i] = pruned
			r.bytes += by
			grown += by
		}
	}
	return grown, r.Facts.redact(because)
}

// putReceipt replaces the user's receipt of the same type and thread.
func (r *Room) putReceipt(receipt *roompb.Receipt, limit int) {
	for i := len(r.receipts) - 1; i >= 0; i-- {
		old := r.receipts[i]
		if old.UserId == receipt.UserId && old.ReceiptType == receipt.ReceiptType && old.ThreadId == receipt.ThreadId {
			if old.Position >= receipt.Position {
				return
			}
			r.receipts = append(r.receipts[:i], r.receipts[i+1:]...)
			break
		}
	}
	r.receipts = append(r.receipts, receipt)
	if len(r.receipts) > limit {
		r.receiptFloor = r.receipts[0].Position
		r.receipts = append(r.receipts[:0:0], r.receipts[1:]...)
	}
}

// NewestEvent returns the newest event that the ring holds at or before a position, nil where it holds none.
func (n *Node) NewestEvent(room *Room, through int64) *Event {
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if i := searchEvents(room.events, through); i > 0 {
		return room.events[i-1]
	}
	return nil
}

// Since returns the events after a sequence number, at or before a position, that the ring has; ok tells whether these
// are all.
func (n *Node) Since(room *Room, seq, through int64) (events []*Event, ok bool) {
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(room.events) == 0 {
		return nil, false
	}
	lo := sort.Search(len(room.events), func(i int) bool { return room.events[i].Seq > seq })
	hi := searchEvents(room.events, through)
	if lo < hi {
		events = append(events, room.events[lo:hi]...)
	}
	return events, room.events[0].Seq <= seq+1
}

// Event finds an event that the ring holds, nil otherwise.
func (n *Node) Event(room *Room, id matrix.EventID) *Event {
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := len(room.events) - 1; i >= 0; i-- {
		if room.events[i].ID == id {
			return room.events[i]
		}
	}
	return nil
}
