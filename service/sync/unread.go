package sync

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"

	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/pushrules"
	"hongyan/service/sync/internal/live"
)

// mainThread is the thread of what is in no thread.
const mainThread = "main"

// counts are of unread events.
type counts struct{ notify, highlight int64 }

// unread are the counts of a room: of all threads, or, where the client asks for them by thread, of the main one.
type unread struct {
	counts
	threads map[string]counts
}

// counter is what is known of a user's unread events in a room. It is replaced, never changed.
type counter struct {
	// through is the sequence number up to which events were looked at.
	through int64
	// items are the events that notify, oldest first.
	items []unreadItem
	// own are the newest own events by thread: who writes has read.
	own map[string]int64
	// rules are those that the items were found by.
	rules *pushrules.Evaluator
}

type unreadItem struct {
	seq       int64
	thread    string
	highlight bool
}

// addUnread counts what is unread in a room up to the answer's cut. Only what came since the last count is looked at,
// unless nothing is known yet: then up to MaxUnread of the newest events after the user's receipt.
func (a *answer) addUnread(ctx context.Context, p *part, c *live.Change) error {
	rules := preferencesOf(a.u).rules
	old, _ := c.Unread.Load().(*counter)
	marks := a.u.Marks(c.RoomID)
	if old == nil || old.rules != rules {
		old = nil
	}
	next, err := a.count(ctx, c, old, rules, marks)
	if err != nil {
		return err
	}
	read := readUpTo(marks, next.own)
	next.items = slices.DeleteFunc(slices.Clone(next.items), func(i unreadItem) bool { return read.has(i) })
	if current, _ := c.Unread.Load().(*counter); current == nil || current.rules != rules || current.through <= next.through {
		c.Unread.Store(next)
	}
	byThread := a.r.filter.Room.Timeline.UnreadThreadNotifications
	for _, i := range next.items {
		if byThread && i.thread != mainThread {
			if p.unread.threads == nil {
				p.unread.threads = map[string]counts{}
			}
			t := p.unread.threads[i.thread]
			t.add(i)
			p.unread.threads[i.thread] = t
			continue
		}
		p.unread.add(i)
	}
	return nil
}

func (c *counts) add(i unreadItem) {
	c.notify++
	if i.highlight {
		c.highlight++
	}
}

// count brings a counter up to the answer's cut; nil begins anew.
func (a *answer) count(
	ctx context.Context, c *live.Change, old *counter, rules *pushrules.Evaluator, marks []*syncpb.ReadMark,
) (*counter, error) {
	next := &counter{rules: rules, own: map[string]int64{}}
	var after int64
	if old != nil {
		next.through, next.items, next.own = old.through, old.items, old.own
		after = old.through
	} else {
		after, _ = oldestMark(marks)
	}
	if c.Room != nil {
		if events, ok := a.s.node.Since(c.Room, after, a.through(c)); ok {
			return next, a.evaluate(ctx, c, next, events)
		}
	}
	next = &counter{rules: rules, own: map[string]int64{}}
	_, position := oldestMark(marks)
	resp, err := a.s.deps.Room.Timeline(ctx, &roompb.TimelineRequest{
		RoomId: c.RoomID, UserId: a.r.user, After: position, Through: a.through(c), Limit: int32(a.s.cfg.MaxUnread),
	})
	if err != nil {
		return nil, err
	}
	events, err := decodeAll(resp.Events)
	if err != nil {
		return nil, err
	}
	if err := a.evaluate(ctx, c, next, events); err != nil {
		return nil, err
	}
	next.through = max(next.through, resp.EndSeq)
	return next, nil
}

// evaluate looks at further events, oldest first.
func (a *answer) evaluate(ctx context.Context, c *live.Change, next *counter, events []*live.Event) error {
	if len(events) == 0 {
		return nil
	}
	circumstances, err := a.circumstances(ctx, c)
	if err != nil {
		return err
	}
	items, own := slices.Clip(next.items), next.own
	for _, e := range events {
		if e.Seq <= next.through {
			continue
		}
		next.through = e.Seq
		if string(e.Sender) == a.r.user {
			if !e.IsState {
				thread, err := a.threadOf(ctx, c, e)
				if err != nil {
					return err
				}
				own = maps.Clone(own)
				own[thread] = e.Seq
			}
			continue
		}
		if a.ignored.sends(string(e.Sender)) {
			continue
		}
		result, err := circumstances.evaluate(next.rules, e)
		if err != nil {
			return err
		}
		if !result.Notify {
			continue
		}
		thread, err := a.threadOf(ctx, c, e)
		if err != nil {
			return err
		}
		items = append(items, unreadItem{e.Seq, thread, result.Highlight})
	}
	if len(items) > a.s.cfg.MaxUnread {
		items = items[len(items)-a.s.cfg.MaxUnread:]
	}
	next.items, next.own = items, own
	return nil
}

// threadOf is the thread that an event is in.
func (a *answer) threadOf(ctx context.Context, c *live.Change, e *live.Event) (string, error) {
	relation := gjson.GetBytes(e.Content(), `m\.relates_to`)
	related := relation.Get("event_id").Str
	switch {
	case related == "":
		return mainThread, nil
	case relation.Get("rel_type").Str == "m.thread":
		return related, nil
	}
	// It may relate to an event in a thread, over at most three hops.
	resp, err := a.s.deps.Room.Locate(ctx, &roompb.LocateRequest{RoomId: c.RoomID, EventId: string(e.ID), UserId: a.r.user})
	if isNotFound(err) {
		return mainThread, nil
	}
	if err != nil {
		return "", err
	}
	if resp.ThreadId == "" {
		return mainThread, nil
	}
	return resp.ThreadId, nil
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

// append appends the counts.
func (u *unread) append(dst []byte) []byte {
	dst = u.counts.append(append(dst, `,"unread_notifications":`...))
	if len(u.threads) == 0 {
		return dst
	}
	dst = append(dst, `,"unread_thread_notifications":{`...)
	for i, thread := range slices.Sorted(maps.Keys(u.threads)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		t := u.threads[thread]
		dst = t.append(append(canonicaljson.AppendString(dst, thread), ':'))
	}
	return append(dst, '}')
}

func (c *counts) append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `{"highlight_count":`...), c.highlight, 10)
	dst = strconv.AppendInt(append(dst, `,"notification_count":`...), c.notify, 10)
	return append(dst, '}')
}
