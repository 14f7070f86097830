package sync

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/pushrules"
	"hongyan/service/sync/internal/live"
)

// basis is what an event is judged by: the user's rules, whom they ignore and their name as they are now, and since when
// they are in the room. When one of these changes, all unread events are judged anew.
type basis struct {
	preferences *preferences
	// joined is the sequence number at which the user joined: what came before it counts for nobody.
	joined int64
	// name is the user's in the room as of the member event nameSeq; it was not asked for where that is 0.
	name    string
	nameSeq int64
}

// unread are the counts of a room: of all threads, or, where the client asks for them by thread, of the main one.
type unread struct {
	counts
	threads map[string]counts
}

// errNotJoined says that the user has left since the answer's cut.
var errNotJoined = errors.New("not joined any more")

// addUnread counts what is unread in a room up to the answer's cut. What was counted before stays counted: only later
// events are looked at, and nothing but notes of them where these suffice.
func (a *answer) addUnread(ctx context.Context, p *part, c *live.Change) error {
	n := counterOf(c)
	if err := n.enter(ctx); err != nil {
		return err
	}
	defer n.leave()
	fresh := n.preferences == nil
	switch err := a.count(ctx, c, n, fresh); {
	case errors.Is(err, errNotJoined):
		return nil // the next answer tells
	case err != nil:
		if fresh {
			n.reset(basis{}) // who comes next begins anew
		}
		return err
	}
	p.hasUnread = p.hasUnread || n.changed > a.r.from.User
	byThread := a.r.filter.Room.Timeline.UnreadThreadNotifications
	for thread, t := range n.threads {
		count := t.counts()
		switch {
		case byThread && thread != mainThread:
			if p.unread.threads == nil {
				p.unread.threads = make(map[string]counts, len(n.threads))
			}
			p.unread.threads[thread] = count
		default:
			p.unread.notify += count.notify
			p.unread.highlight += count.highlight
		}
	}
	return nil
}

// counterOf returns the counter of all who read as this user. Whoever comes first counts, the others find what it counted.
func counterOf(c *live.Change) *counter {
	n, ok := c.Unread.Load().(*counter)
	if !ok {
		c.Unread.CompareAndSwap(nil, newCounter(basis{}))
		n, _ = c.Unread.Load().(*counter)
	}
	return n
}

// count brings a counter up to the answer's cut.
func (a *answer) count(ctx context.Context, c *live.Change, n *counter, fresh bool) error {
	prefs := preferencesOf(a.u)
	marks := a.u.Marks(c.RoomID)
	joined := max(n.joined, c.JoinedSeq)
	if fresh && joined == 0 {
		var err error
		if joined, err = a.readJoined(ctx, c); err != nil {
			return err
		}
		if joined == 0 {
			return errNotJoined
		}
	}
	if !fresh && n.preferences != prefs && n.before == nil {
		n.before = n.totals()
	}
	if fresh || n.preferences != prefs || n.joined != joined {
		n.reset(basis{preferences: prefs, joined: joined})
		fresh = true
	}
	if changed, err := a.renamed(ctx, c, n); err != nil {
		return err
	} else if changed {
		n.reset(basis{preferences: prefs, joined: joined, name: n.name, nameSeq: n.nameSeq})
		fresh = true
	}
	n.take(marks)
	if fresh {
		n.through = max(n.through, n.all)
		if err := a.restore(ctx, c, n); err != nil {
			return err
		}
	}
	if c.Room != nil {
		if purges := c.Room.Purges(); purges != n.purges {
			n.purges = purges
			n.purge(c.Room.PurgedThrough())
		}
	}
	if err := a.recount(ctx, c, n); err != nil {
		return err
	}
	if err := a.goOn(ctx, c, n); err != nil {
		return err
	}
	// A redaction among the further events may have outdated what was counted.
	if err := a.recount(ctx, c, n); err != nil {
		return err
	}
	n.judgedAnew(a.u.Newest())
	a.s.checkpoints.save(a.r.user, c.RoomID, n)
	return nil
}

// goOn looks at the events that the counter has not seen.
func (a *answer) goOn(ctx context.Context, c *live.Change, n *counter) error {
	if c.Newest <= n.at {
		return nil
	}
	l := look{a: a, c: c, n: n, take: func(f *found) {
		switch {
		case f.own:
			n.readThread(f.seq, f.thread)
		case f.notify:
			n.add(f.seq, f.thread, f.highlight)
		}
		if f.redacts > 0 {
			n.redact(f.redacts)
		}
		n.through = f.seq
	}}
	if err := l.events(ctx, n.through, 0); err != nil {
		return err
	}
	n.at = max(n.at, a.through(c))
	return nil
}

// recount counts stale threads anew, up to where the counter is.
func (a *answer) recount(ctx context.Context, c *live.Change, n *counter) error {
	if len(n.stale) == 0 {
		return nil
	}
	after := n.through
	anew := make(map[string]*tally, len(n.stale))
	for thread := range n.stale {
		after = min(after, n.from(thread))
		anew[thread] = &tally{}
	}
	l := look{a: a, c: c, n: n, take: func(f *found) {
		switch t := anew[f.thread]; {
		case t == nil:
		case f.own:
			*t = tally{}
		case f.notify && !n.has(f.seq, f.thread):
			t.add(unreadItem{f.seq, f.highlight})
		}
	}}
	if err := l.events(ctx, after, n.through); err != nil {
		return err
	}
	for thread, t := range anew {
		if len(t.items) == 0 {
			delete(n.threads, thread)
		} else {
			n.threads[thread] = t
		}
	}
	n.stale = nil
	return nil
}

// judge says what an event is to the user by its note; known is false where the event itself must be looked at.
func (l *look) judge(ctx context.Context, note *live.Note) (f found, known bool, err error) {
	n := l.n
	f = found{seq: note.Seq, thread: note.Thread, redacts: note.Redacts}
	if f.thread == "" {
		f.thread = mainThread
	}
	switch {
	case string(note.Sender) == l.a.r.user:
		// A profile change is no word in the room: it reads nothing.
		f.own = !note.Facts.IsMember()
		return f, true, nil
	case note.Redacted || n.preferences.ignored.sends(string(note.Sender)):
		return f, true, nil
	}
	if n.nameSeq == 0 && note.Facts.AsksForName() {
		if err := l.a.readName(ctx, l.c, n); err != nil {
			return f, false, err
		}
	}
	result, known := n.preferences.rules.EvaluateOutline(&note.Outline, l.roomID(), n.name)
	f.set(result)
	return f, known, nil
}

func (f *found) set(r pushrules.Result) { f.notify, f.highlight = r.Notify, r.Notify && r.Highlight }

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
