package live

import (
	"context"
	"fmt"
	"slices"

	roompb "hongyan/api/room"
)

// Older is what the owner of a room says of the time before its ring begins.
type Older struct {
	// Events are all events after Floor up to the beginning of the ring, oldest first.
	Events []*Event
	Floor  int64
	// Receipts are all receipts after ReceiptFloor up to the beginning of the receipts in memory.
	Receipts     []*roompb.Receipt
	ReceiptFloor int64
}

func (n *Node) beginning(room *Room) Beginning {
	s := &n.shards[room.Shard]
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Beginning{Floor: room.floor, ReceiptFloor: room.receiptFloor, Space: n.cfg.RoomEvents - len(room.events), purges: room.purges.Load()}
}

// Beginning is where a room's memory begins.
type Beginning struct {
	// Floor and ReceiptFloor are the positions after which all events and receipts are known.
	Floor, ReceiptFloor int64
	// Space is how many more events the ring may hold.
	Space int
	// purges is how often something was removed from the room's past: what was read before may be gone.
	purges int64
}

// Fill makes a room's ring reach further back, with what read returns for where it begins now. Of several callers for a
// room one reads at a time, after those before have filled it.
func (n *Node) Fill(ctx context.Context, room *Room, read func(context.Context, Beginning) (*Older, error)) error {
	select {
	case room.filling <- struct{}{}:
		defer func() { <-room.filling }()
	case <-ctx.Done():
		return fmt.Errorf("wait for older events: %w", ctx.Err())
	}
	begin := n.beginning(room)
	older, err := read(ctx, begin)
	if err != nil || older == nil {
		return err
	}
	s := &n.shards[room.Shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	before := room.bytes
	if room.floor == begin.Floor && s.rooms[room.ID] == room && begin.sameMoment(room) {
		if err := room.prepend(older, &n.cfg); err != nil {
			return err
		}
		n.ringBytes.Add(room.bytes - before)
	}
	if room.receiptFloor == begin.ReceiptFloor && older.ReceiptFloor < begin.ReceiptFloor {
		room.prependReceipts(older, n.cfg.RoomReceipts)
	}
	return nil
}

// prepend adds older events as far as there is room for them.
func (r *Room) prepend(older *Older, limits *Config) error {
	if older.Floor >= r.floor {
		return nil
	}
	room := limits.RoomEvents - len(r.events)
	floor, events := older.Floor, older.Events
	for len(events) > 0 && (len(events) > room || r.bytes+sizeOf(events) > limits.RoomBytes) {
		floor, events = events[0].Position, events[1:]
	}
	r.events = append(slices.Clip(slices.Clone(events)), r.events...)
	r.bytes += sizeOf(events)
	r.floor = floor
	// What came meanwhile may redact what was read before.
	for _, e := range r.events[len(events):] {
		if e.Redacts != "" {
			if _, err := r.redact(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func sizeOf(events []*Event) (bytes int64) {
	for _, e := range events {
		bytes += e.size()
	}
	return bytes
}

// prependReceipts adds older receipts of those of whom no newer one is known.
func (r *Room) prependReceipts(older *Older, limit int) {
	newer := r.receipts
	r.receipts, r.receiptFloor = nil, older.ReceiptFloor
	for _, list := range [][]*roompb.Receipt{older.Receipts, newer} {
		for _, receipt := range list {
			r.putReceipt(receipt, limit)
		}
	}
}
