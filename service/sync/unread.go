package sync

import (
	"context"
	"maps"
	"slices"
	"strconv"

	roompb "hongyan/api/room"
	syncpb "hongyan/api/sync"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
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

// look is what looking at further events found.
type look struct {
	through int64
	items   []unreadItem
	own     map[string]int64
	// joined is the sequence number at which the user joined, if that was seen: what came before it counts for nobody.
	joined int64
}

// addUnread counts what is unread in a room up to the answer's cut. newest is the sequence number of the newest event
// there, 0 if it is not known to have any since the last count. Only what came since the last count is looked at, unless
// nothing is known yet: then the newest events after the user's receipt, as many as a ring holds.
func (a *answer) addUnread(ctx context.Context, p *part, c *live.Change, newest int64) error {
	rules := preferencesOf(a.u).rules
	marks := a.u.Marks(c.RoomID)
	n, _ := c.Unread.Load().(*counter)
	if n == nil || n.rules != rules {
		n = nil
	}
	found, err := a.look(ctx, c, n, rules, marks, newest)
	if err != nil {
		return err
	}
	if n == nil {
		n = &counter{rules: rules}
		c.Unread.Store(n)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.take(found, marks, a.s.cfg.MaxUnread)
	p.unread.counts = n.main
	if !a.r.filter.Room.Timeline.UnreadThreadNotifications {
		for _, t := range n.threads {
			p.unread.notify += t.notify
			p.unread.highlight += t.highlight
		}
	} else if len(n.threads) > 0 {
		p.unread.threads = maps.Clone(n.threads)
	}
	return nil
}

// look looks at the events that a counter has not seen; nil has seen none.
func (a *answer) look(
	ctx context.Context, c *live.Change, n *counter, rules *pushrules.Evaluator, marks []*syncpb.ReadMark, newest int64,
) (*look, error) {
	found := &look{}
	seq, position := oldestMark(marks)
	if n != nil {
		n.mu.Lock()
		found.through = n.through
		n.mu.Unlock()
		if newest <= found.through {
			return found, nil
		}
	} else {
		// What came before the user joined counts for nobody.
		found.through, position = max(seq, c.JoinedSeq), max(position, c.JoinedPosition)
	}
	if c.Room == nil {
		return found, nil
	}
	events, ok := a.node.Since(c.Room, found.through, a.through(c))
	if !ok {
		// From the last receipt on, or as far as a ring reaches.
		if err := a.fill(ctx, c, position); err != nil {
			return nil, err
		}
		events, _ = a.node.Since(c.Room, found.through, a.through(c))
	}
	if err := a.evaluate(ctx, c, rules, found, events); err != nil {
		return nil, err
	}
	found.through = max(found.through, newest)
	return found, nil
}

// evaluate looks at further events, oldest first.
func (a *answer) evaluate(ctx context.Context, c *live.Change, rules *pushrules.Evaluator, found *look, events []*live.Event) error {
	if len(events) == 0 {
		return nil
	}
	circumstances, err := a.circumstances(ctx, c)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Seq <= found.through {
			continue
		}
		found.through = e.Seq
		if e.IsMember() && e.StateKey == a.r.user && e.Membership == event.Join && e.Before != event.Join {
			found.joined, found.items, found.own = e.Seq, nil, nil
			continue
		}
		own := string(e.Sender) == a.r.user
		if own && e.IsState || !own && a.ignored.sends(string(e.Sender)) {
			continue
		}
		var result pushrules.Result
		if !own {
			if result, err = circumstances.evaluate(rules, e); err != nil {
				return err
			}
			if !result.Notify {
				continue
			}
		}
		thread, err := a.threadOf(ctx, c, e)
		if err != nil {
			return err
		}
		if own {
			if found.own == nil {
				found.own = map[string]int64{}
			}
			found.own[thread] = e.Seq
			continue
		}
		found.items = append(found.items, unreadItem{e.Seq, thread, result.Highlight})
	}
	return nil
}

// threadOf is the thread that an event is in.
func (a *answer) threadOf(ctx context.Context, c *live.Change, e *live.Event) (string, error) {
	switch {
	case e.RelatesTo == "":
		return mainThread, nil
	case e.RelType == "m.thread":
		return e.RelatesTo, nil
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
