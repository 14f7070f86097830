package keys

import (
	"container/heap"
	"context"
	"encoding/binary"
	"io"
	"math"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/service/keys/internal/store"
)

// A queue of which nobody takes anything is bounded. To refuse a message would let one dead device keep a sender from reaching
// all others of the same request; so at the bound messages are dropped: the oldest ones of whoever has most waiting there,
// which is who floods the queue, if anybody does.
//
// A queue is not measured with each message, which would cost more the longer it is, but by chance: on average once in a
// measuredPart of what it may hold. So it may become longer than its bound by a few such parts, and no instance keeps
// count of anything.

// measuredPart is which part of what a queue may hold comes, on average, between two measurements.
const measuredPart = 64

// bound drops what is too much in the queues of the devices that have just been sent something. A queue that cannot be bounded now
// is bounded later: the sender has nothing to do with it.
func (s *Service) bound(ctx context.Context, m mail) {
	for i, id := range m.devices {
		if !s.measures(len(m.entries[i].Body)) {
			continue
		}
		if err := s.boundQueue(ctx, m.user, id); err != nil {
			logx.WithContext(ctx).Errorf("keys: bound the queue of a device of %s: %v", m.user, err)
		}
	}
}

// measures tells by chance whether to measure a queue after a message of a size.
func (s *Service) measures(size int) bool {
	chance := measuredPart * s.cfg.ToDevice.weight(int64(size))
	var random [4]byte
	if _, err := io.ReadFull(s.deps.Rand, random[:]); err != nil {
		return true
	}
	return float64(binary.BigEndian.Uint32(random[:])) <= chance*math.MaxUint32
}

// boundQueue drops what is too much in the queue of a device.
func (s *Service) boundQueue(ctx context.Context, userID, deviceID string) error {
	queue, err := s.store.Queue(ctx, userID, deviceID)
	if err != nil {
		return err
	}
	size := int64(0)
	for _, w := range queue {
		size += w.Size
	}
	s.metrics.queueMessages.Observe(float64(len(queue)))
	s.metrics.queueBytes.Observe(float64(size))
	surplus := s.cfg.ToDevice.surplus(queue)
	if len(surplus) == 0 {
		return nil
	}
	dropped, err := s.store.Drop(ctx, userID, surplus)
	s.metrics.dropped.Add(float64(dropped))
	logx.WithContext(ctx).Infof("device %q of %s does not fetch its messages: of %d that waited, %d were dropped",
		deviceID, userID, len(queue), dropped)
	return err
}

// surplus returns the keys of what is to be dropped of a queue, which is sorted by age.
func (c ToDeviceConfig) surplus(queue []store.Waiting) []string {
	count, size := len(queue), int64(0)
	bySender := map[string]*share{}
	var shares heaviestFirst
	for _, w := range queue {
		size += w.Size
		of := bySender[w.Sender]
		if of == nil {
			of = &share{sender: w.Sender}
			bySender[w.Sender] = of
			shares = append(shares, of)
		}
		of.queue, of.weight = append(of.queue, w), of.weight+c.weight(w.Size)
	}
	heap.Init(&shares)
	var surplus []string
	for count > c.QueueMessages || size > c.QueueBytes {
		of := shares[0]
		oldest := of.queue[0]
		of.queue, of.weight = of.queue[1:], of.weight-c.weight(oldest.Size)
		if len(of.queue) == 0 {
			of.weight = 0
		}
		heap.Fix(&shares, 0)
		count, size = count-1, size-oldest.Size
		surplus = append(surplus, oldest.Key)
	}
	return surplus
}

// weight is how much of a queue a message of a size takes, by number and by size together.
func (c ToDeviceConfig) weight(size int64) float64 {
	return 1/float64(c.QueueMessages) + float64(size)/float64(c.QueueBytes)
}

// share is what one sender has in a queue, oldest first.
type share struct {
	sender string
	queue  []store.Waiting
	weight float64
}

// heaviestFirst is a heap of shares.
type heaviestFirst []*share

// Len implements heap.Interface.
func (h heaviestFirst) Len() int { return len(h) }

// Less implements heap.Interface.
func (h heaviestFirst) Less(i, j int) bool {
	return h[i].weight > h[j].weight || h[i].weight == h[j].weight && h[i].sender < h[j].sender
}

// Swap implements heap.Interface.
func (h heaviestFirst) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *heaviestFirst) Push(x any) { *h = append(*h, x.(*share)) }

// Pop implements heap.Interface.
func (h *heaviestFirst) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
