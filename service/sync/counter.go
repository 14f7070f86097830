package sync

import (
	"maps"
	"slices"
	"sync"

	syncpb "hongyan/api/sync"
	"hongyan/matrix/pushrules"
)

// counter is what is known of a user's unread events in a room.
type counter struct {
	mu sync.Mutex
	// rules are those that the items were found by.
	rules *pushrules.Evaluator
	// through is the sequence number up to which events were looked at.
	through int64
	// items are the unread events that notify, oldest first; main and threads count them.
	items   []unreadItem
	main    counts
	threads map[string]counts
	// marks are those that were taken off last, own the newest own events by thread: who writes has read. read is both.
	marks []*syncpb.ReadMark
	own   map[string]int64
	read  readMarks
	// joined is the sequence number at which the user joined, if that was seen.
	joined int64
}

type unreadItem struct {
	seq       int64
	thread    string
	highlight bool
}

// take takes off what was read, and adds what was found, which another request may have added before.
func (n *counter) take(found *look, marks []*syncpb.ReadMark, most int) {
	if found.joined > n.joined {
		n.joined, n.items, n.main, n.threads = found.joined, nil, counts{}, nil
	}
	if !sameList(n.marks, marks) || len(found.own) > 0 {
		for thread, seq := range found.own {
			if n.own == nil {
				n.own = map[string]int64{}
			}
			n.own[thread] = max(n.own[thread], seq)
		}
		n.marks, n.read = marks, readUpTo(marks, n.own)
		n.items = slices.DeleteFunc(n.items, func(i unreadItem) bool {
			read := n.read.has(i)
			if read {
				n.count(i, -1)
			}
			return read
		})
	}
	for _, i := range found.items {
		if i.seq > n.through && !n.read.has(i) {
			n.items = append(n.items, i)
			n.count(i, 1)
		}
	}
	for len(n.items) > most {
		n.count(n.items[0], -1)
		n.items = n.items[1:]
	}
	n.through = max(n.through, found.through)
}

// count adds an item to its thread's counts, or takes it off.
func (n *counter) count(i unreadItem, by int64) {
	if i.thread == mainThread {
		n.main.add(i, by)
		return
	}
	if n.threads == nil {
		n.threads = map[string]counts{}
	}
	t := n.threads[i.thread]
	t.add(i, by)
	if t.notify == 0 {
		delete(n.threads, i.thread)
	} else {
		n.threads[i.thread] = t
	}
}

func (c *counts) add(i unreadItem, by int64) {
	c.notify += by
	if i.highlight {
		c.highlight += by
	}
}

// sameList tells whether two lists of marks are the same one: a changed list is another.
func sameList(a, b []*syncpb.ReadMark) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// readMarks are sequence numbers up to which a user has read: everything, and by thread.
type readMarks struct {
	all     int64
	threads map[string]int64
}

// readUpTo joins receipts, the further of public and private ones, and own events.
func readUpTo(marks []*syncpb.ReadMark, own map[string]int64) readMarks {
	r := readMarks{threads: maps.Clone(own)}
	for _, m := range marks {
		switch {
		case m.ReceiptType != receiptRead && m.ReceiptType != receiptPrivate:
		case m.ThreadId == "":
			r.all = max(r.all, m.EventSeq)
		default:
			if r.threads == nil {
				r.threads = map[string]int64{}
			}
			r.threads[m.ThreadId] = max(r.threads[m.ThreadId], m.EventSeq)
		}
	}
	return r
}

func (r readMarks) has(i unreadItem) bool { return i.seq <= r.all || i.seq <= r.threads[i.thread] }

// oldestMark is up to where everything was read: the unthreaded receipt.
func oldestMark(marks []*syncpb.ReadMark) (seq, position int64) {
	for _, m := range marks {
		if m.ThreadId == "" && (m.ReceiptType == receiptRead || m.ReceiptType == receiptPrivate) && m.EventSeq > seq {
			seq, position = m.EventSeq, m.EventPosition
		}
	}
	return seq, position
}
