package room

import (
	"context"
	"slices"

	"hongyan/matrix/event"
	"hongyan/matrix/filter"
	"hongyan/service/room/internal/store"
)

// Bounds of one page.
const (
	defaultPage = 10
	maxPage     = 1000
	// maxScan is how many events a page may look at that its filter leaves out. A page that reaches it is short, or
	// empty, and says where to go on.
	maxScan = 5000
	// minRead and maxRead bound how many events are read at once: a filter makes it uncertain how many are needed.
	minRead, maxRead = 16, 512
)

// matcher says which events are wanted; nil wants all.
type matcher struct {
	filter *filter.RoomEventFilter
	// ignored are the users of whom only state events are wanted.
	ignored map[string]struct{}
}

// match returns a filter as a matcher that also leaves out what ignored users sent.
func match(f *filter.RoomEventFilter, ignored map[string]struct{}) *matcher {
	if f.PassesAll() && len(ignored) == 0 {
		return nil
	}
	return &matcher{filter: f, ignored: ignored}
}

// matches looks at an event by itself.
func (m *matcher) matches(e *event.Event) bool {
	if m == nil {
		return true
	}
	if _, ignored := m.ignored[string(e.Sender())]; ignored && !e.IsState() {
		return false
	}
	return m.filter.Match(filter.Subject{
		Type: e.Type(), Sender: string(e.Sender()), RoomID: string(e.RoomID()),
		HasURL: e.ContentValue("url") != nil, RelType: relationOf(e).relType,
	})
}

// wanted reports for each of the events whether it is wanted, by itself and by what relates to it.
func (r *reads) wanted(ctx context.Context, v *view, events []shown, m *matcher) ([]bool, error) {
	wanted := make([]bool, len(events))
	var ids []string
	for i, e := range events {
		if wanted[i] = m.matches(e.event); wanted[i] {
			ids = append(ids, e.ID)
		}
	}
	if m == nil || !m.filter.NeedsRelations() {
		return wanted, nil
	}
	related, err := r.store.Related(ctx, v.ID, v.head, ids, m.filter.RelatedByRelTypes, m.filter.RelatedBySenders)
	if err != nil {
		return nil, err
	}
	for i, e := range events {
		wanted[i] = wanted[i] && slices.Contains(related, e.ID)
	}
	return wanted, nil
}

// page is a part of a room's history that a user sees.
type page struct {
	events []shown
	// end is where the next page begins.
	end place
	// more says that there are visible events beyond end within the range that was asked for.
	more bool
	// full says that the page ended for its limit, not for maxScan.
	full bool
}

// source reads events in (after, through] of a room, those that come first in its direction.
type source func(ctx context.Context, room, after, through int64, limit int) ([]store.Event, error)

// backward reads the newest visible and wanted events in (after, through], newest first.
func (r *reads) backward(ctx context.Context, v *view, after, through int64, limit int, want *matcher) (page, error) {
	return r.backwardFrom(ctx, v, r.store.Backward, after, through, limit, want)
}

// backwardFrom is backward for the events of a source.
func (r *reads) backwardFrom(ctx context.Context, v *view, from source, after, through int64, limit int, want *matcher) (page, error) {
	p := page{end: place{through, -1}}
	scan := newScan(limit, want)
	for {
		s, ok := v.spanBackward(after, p.end.seq)
		goesOn := scan.goesOn(len(p.events))
		if p.more = ok; !ok || !goesOn && s.first > v.Purged {
			break
		}
		events, err := from(ctx, v.ID, s.first-1, s.last, scan.next(len(p.events)))
		if err != nil {
			return page{}, err
		}
		if len(events) == 0 {
			p.end = place{s.first - 1, -1}
			continue
		}
		if !goesOn {
			break
		}
		if err := r.take(ctx, v, &p, events, scan, func(e *store.Event) place { return place{e.Seq - 1, e.Position - 1} }); err != nil {
			return page{}, err
		}
	}
	p.full = len(p.events) >= limit
	return p, nil
}

// forward reads the oldest visible and wanted events in (after, through], oldest first.
func (r *reads) forward(ctx context.Context, v *view, after, through int64, limit int, want *matcher) (page, error) {
	return r.forwardFrom(ctx, v, r.store.Forward, after, through, limit, want)
}

// forwardFrom is forward for the events of a source.
func (r *reads) forwardFrom(ctx context.Context, v *view, from source, after, through int64, limit int, want *matcher) (page, error) {
	p := page{end: place{after, -1}}
	scan := newScan(limit, want)
	for {
		s, ok := v.spanForward(p.end.seq, through)
		goesOn := scan.goesOn(len(p.events))
		if p.more = ok; !ok || !goesOn && s.first > v.Purged {
			break
		}
		events, err := from(ctx, v.ID, s.first-1, s.last, scan.next(len(p.events)))
		if err != nil {
			return page{}, err
		}
		if len(events) == 0 {
			p.end = place{s.last, -1}
			continue
		}
		if !goesOn {
			break
		}
		if err := r.take(ctx, v, &p, events, scan, func(e *store.Event) place { return place{e.Seq, e.Position} }); err != nil {
			return page{}, err
		}
	}
	p.full = len(p.events) >= limit
	return p, nil
}

// take adds the wanted ones of the events to a page until it is full; behind says which place is behind an event.
func (r *reads) take(ctx context.Context, v *view, p *page, events []store.Event, scan *scan, behind func(*store.Event) place) error {
	list, err := v.parseAll(events)
	if err != nil {
		return err
	}
	wanted, err := r.wanted(ctx, v, list, scan.want)
	if err != nil {
		return err
	}
	for i, e := range list {
		scan.seen++
		p.end = behind(e.Event)
		if wanted[i] {
			p.events = append(p.events, e)
		}
		if !scan.goesOn(len(p.events)) {
			return nil
		}
	}
	return nil
}

// scan is how far the search for a page's events has come.
type scan struct {
	limit, seen int
	want        *matcher
}

func newScan(limit int, want *matcher) *scan { return &scan{limit: limit, want: want} }

// goesOn reports whether more events are needed, having found some.
func (s *scan) goesOn(found int) bool { return found < s.limit && s.seen < maxScan }

// next says how many events to read now: one to see whether there is any, where no more are needed. All that were there may have
// been purged.
func (s *scan) next(found int) int {
	if !s.goesOn(found) {
		return 1
	}
	n := s.limit - found
	if s.want != nil {
		n = min(max(2*n, s.seen, minRead), maxRead)
	}
	return min(n, maxScan)
}
