package sync

import (
	"context"
	"maps"
	"slices"

	syncpb "hongyan/api/sync"
)

// mainThread is the thread of what is in no thread.
const mainThread = "main"

// counts are of unread events.
type counts struct{ notify, highlight int64 }

func (c *counts) add(highlight bool) {
	c.notify++
	if highlight {
		c.highlight++
	}
}

// counter is what is known of a user's unread events in a room: how many of them notify, by thread. It has seen all
// events up to through, oldest first, and counts those that neither a receipt nor an own event after them covers.
type counter struct {
	// turn holds one token, of who works with the counter.
	turn chan struct{}
	basis
	// through is the sequence number up to which events were looked at; saved is where it was when it was last stored.
	through, saved int64
	// at is the position of the room's shard up to which that was all there was.
	at      int64
	threads map[string]*tally
	// all and read are up to where the user has read: everything, and by thread. marks are those that are part of it.
	all   int64
	read  map[string]int64
	marks []*syncpb.ReadMark
	// before are the counts as they were by other rules, while they are worked out anew; changed is the position in the user's log
	// after which clients know that they are others.
	before  map[string]counts
	changed int64
	// stale are the threads that have to be counted anew, from where the user has read them.
	stale map[string]struct{}
	// purges is how often something had been removed from the room's past when that was looked at last.
	purges int64
}

// tally counts the unread events of one thread that notify, one by one only the newest: items, oldest first.
type tally struct {
	// older counts those with sequence numbers from first to last.
	older       counts
	first, last int64
	items       []unreadItem
}

type unreadItem struct {
	seq       int64
	highlight bool
}

// maxItems is how many unread events of a thread are kept one by one.
const maxItems = 64

func newCounter(b basis) *counter {
	n := &counter{turn: make(chan struct{}, 1)}
	n.reset(b)
	return n
}

// reset makes the counter one that has seen nothing after the user joined.
func (n *counter) reset(b basis) {
	n.basis, n.through, n.saved, n.at = b, b.joined, b.joined, 0
	n.threads, n.all, n.read, n.marks, n.stale = map[string]*tally{}, b.joined, nil, nil, nil
}

// enter waits until nobody else works with the counter.
func (n *counter) enter(ctx context.Context) error {
	select {
	case n.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *counter) leave() { <-n.turn }

// has tells whether an event of a thread was read.
func (n *counter) has(seq int64, thread string) bool { return seq <= n.all || seq <= n.read[thread] }

// from is up to where a thread was read.
func (n *counter) from(thread string) int64 { return max(n.all, n.read[thread]) }

// add counts an unread event that notifies and is newer than all that were added.
func (n *counter) add(seq int64, thread string, highlight bool) {
	if n.has(seq, thread) {
		return
	}
	t := n.threads[thread]
	if t == nil {
		t = &tally{}
		n.threads[thread] = t
	}
	t.add(unreadItem{seq, highlight})
}

func (t *tally) add(i unreadItem) {
	t.items = append(t.items, i)
	if len(t.items) <= maxItems {
		return
	}
	const fold = maxItems / 2
	for _, i := range t.items[:fold] {
		if t.older.notify == 0 {
			t.first = i.seq
		}
		t.older.add(i.highlight)
		t.last = i.seq
	}
	t.items = append(t.items[:0], t.items[fold:]...)
}

// readThread notes that a thread was read up to an event.
func (n *counter) readThread(seq int64, thread string) {
	if seq <= n.read[thread] {
		return
	}
	if n.read == nil {
		n.read = map[string]int64{}
	}
	n.read[thread] = seq
	n.cut(thread)
}

// cut takes off what was read of a thread.
func (n *counter) cut(thread string) {
	t := n.threads[thread]
	if t == nil {
		return
	}
	read := n.from(thread)
	t.items = slices.DeleteFunc(t.items, func(i unreadItem) bool { return i.seq <= read })
	switch {
	case t.older.notify == 0 || read < t.first:
	case read >= t.last:
		t.older = counts{}
	default:
		n.outdate(thread)
	}
	if t.older.notify == 0 && len(t.items) == 0 {
		delete(n.threads, thread)
	}
}

// outdate notes that a thread has to be counted anew.
func (n *counter) outdate(thread string) {
	if n.stale == nil {
		n.stale = map[string]struct{}{}
	}
	n.stale[thread] = struct{}{}
}

// take takes off what the user's receipts cover: the further of public and private ones, of each thread and of all.
func (n *counter) take(marks []*syncpb.ReadMark) {
	if sameList(n.marks, marks) {
		return
	}
	n.marks = marks
	all := n.all
	for _, m := range marks {
		switch {
		case m.ReceiptType != receiptRead && m.ReceiptType != receiptPrivate:
		case m.ThreadId == "":
			all = max(all, m.EventSeq)
		default:
			n.readThread(m.EventSeq, m.ThreadId)
		}
	}
	if all > n.all {
		n.all = all
		for thread := range n.threads {
			n.cut(thread)
		}
		maps.DeleteFunc(n.read, func(_ string, seq int64) bool { return seq <= all })
	}
}

// redact takes off an event that was redacted.
func (n *counter) redact(seq int64) {
	for thread, t := range n.threads {
		if i, ok := slices.BinarySearchFunc(t.items, seq, func(i unreadItem, seq int64) int { return int(i.seq - seq) }); ok {
			t.items = slices.Delete(t.items, i, i+1)
			if t.older.notify == 0 && len(t.items) == 0 {
				delete(n.threads, thread)
			}
			return
		}
		if t.older.notify > 0 && t.first <= seq && seq <= t.last {
			n.outdate(thread) // it may be one of them
		}
	}
}

// purge notes that events up to a sequence number may have been removed: threads in which such are unread are counted anew.
func (n *counter) purge(through int64) {
	for thread, t := range n.threads {
		if t.older.notify > 0 && t.first <= through || len(t.items) > 0 && t.items[0].seq <= through {
			n.outdate(thread)
		}
	}
}

// counts is how many unread events of the thread notify.
func (t *tally) counts() counts {
	c := t.older
	for _, i := range t.items {
		c.add(i.highlight)
	}
	return c
}

// totals are the counts by thread.
func (n *counter) totals() map[string]counts {
	all := make(map[string]counts, len(n.threads))
	for thread, t := range n.threads {
		all[thread] = t.counts()
	}
	return all
}

// judgedAnew notes whether other rules have made other counts; newest is where the user's log is.
func (n *counter) judgedAnew(newest int64) {
	if n.before != nil && !maps.Equal(n.before, n.totals()) {
		n.changed = newest
	}
	n.before = nil
}

// sameList tells whether two lists of marks are the same one: a changed list is another.
func sameList(a, b []*syncpb.ReadMark) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
