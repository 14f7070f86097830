package room

import (
	"context"
	"net/http"
	"slices"

	"hongyan/matrix/filter"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

const (
	// maxRelations bounds one page of relations.
	maxRelations = 100
	// maxRecursion is over how many relations events are found that relate to an event indirectly.
	maxRecursion = 4
	// maxParents bounds the events whose relations are looked through for that. What lies deeper is left out, and the answer's
	// recursion_depth says so.
	maxParents = 10_000
)

// relationsQuery is what a client asks of the relations of an event.
type relationsQuery struct {
	messagesQuery
	relType, eventType  string
	recurse, tellsDepth bool
}

func parseRelationsQuery(r *http.Request) (relationsQuery, error) {
	q := httpx.ReadQuery(r.URL)
	m := relationsQuery{relType: r.PathValue("relType"), eventType: r.PathValue("eventType")}
	m.from, m.to, m.filter = q.String("from"), q.String("to"), filter.DefaultRoomEvents()
	m.forward = q.Enum("dir", "b", "b", "f") == "f"
	m.limit = int(q.Int("limit", defaultPage, 1, maxRelations))
	m.recurse, m.tellsDepth = q.Bool("recurse", false), q.Has("recurse")
	return m, q.Err()
}

// getRelations answers the events that relate to an event (client-server API, "GET /rooms/{roomId}/relations/{eventId}").
func (s *Service) getRelations(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	e, err := s.reads.visibleEvent(ctx, v, r.PathValue("eventId"))
	if err != nil {
		return err
	}
	q, err := parseRelationsQuery(r)
	if err != nil {
		return err
	}
	ignored, err := s.reads.ignoredBy(ctx, caller.UserID)
	if err != nil {
		return err
	}
	p, depth, err := s.reads.relations(ctx, v, e.ID, q, ignored)
	if err != nil {
		return err
	}
	out := s.reads.writer(v, caller.DeviceID)
	if err := s.reads.aggregate(ctx, out, p.events, ignored); err != nil {
		return err
	}
	var b body
	b.events("chunk", out, p.events)
	if p.more {
		end, err := s.reads.token(ctx, v, p.end)
		if err != nil {
			return err
		}
		b.text("next_batch", end)
	}
	if q.from != "" {
		b.text("prev_batch", q.from)
	}
	if q.tellsDepth {
		b.number("recursion_depth", depth)
	}
	return b.answer(w)
}

// relations reads the page that a query asks for, and how deep it went.
func (r *reads) relations(ctx context.Context, v *view, id string, q relationsQuery, ignored map[string]struct{}) (page, int, error) {
	if !isText(q.relType) || !isText(q.eventType) {
		return page{}, 1, nil
	}
	through, ok := v.timelineThrough()
	if !ok {
		through = v.head // what they see of it says visibility
	}
	first, last, err := r.messagesRange(ctx, v, q.messagesQuery, through)
	if err != nil {
		return page{}, 0, err
	}
	to := store.RelatedTo{Targets: []string{id}, RelType: q.relType, EventType: q.eventType}
	depth := 1
	if q.recurse {
		if to.Targets, depth, err = r.parents(ctx, v, to, through); err != nil {
			return page{}, 0, err
		}
	}
	want := &matcher{filter: q.filter, ignored: ignored}
	// One more is read than is shown, so that nobody is told of a next page that has nothing.
	var p page
	if q.forward {
		p, err = r.forwardFrom(ctx, v, func(ctx context.Context, room, after, through int64, limit int) ([]store.Event, error) {
			return r.store.RelatingForward(ctx, room, to, after, through, limit)
		}, first, last, q.limit+1, want)
	} else {
		p, err = r.backwardFrom(ctx, v, func(ctx context.Context, room, after, through int64, limit int) ([]store.Event, error) {
			return r.store.RelatingBackward(ctx, room, to, after, through, limit)
		}, first, last, q.limit+1, want)
	}
	p.cut(q.limit, q.forward)
	return p, depth, err
}

// cut takes away what is more than a limit.
func (p *page) cut(limit int, forward bool) {
	if len(p.events) <= limit {
		p.more = p.more && !p.full
		return
	}
	p.events, p.more = p.events[:limit], true
	last := p.events[limit-1]
	p.end = place{last.Seq - 1, last.Position - 1}
	if forward {
		p.end = place{last.Seq, last.Position}
	}
}

// parents returns the events to which those relate that relate to an event, be it indirectly, and over how many relations.
func (r *reads) parents(ctx context.Context, v *view, to store.RelatedTo, through int64) (ids []string, depth int, err error) {
	ids = slices.Clone(to.Targets)
	seen := map[string]struct{}{ids[0]: {}}
	for depth = 1; depth < maxRecursion; depth++ {
		children, err := r.store.RelatingIDs(ctx, v.ID, to, through, maxParents+1)
		if err != nil {
			return nil, 0, err
		}
		if len(ids)+len(children) > maxParents {
			break
		}
		to.Targets = nil
		for _, id := range children {
			if _, twice := seen[id]; !twice {
				seen[id] = struct{}{}
				to.Targets = append(to.Targets, id)
			}
		}
		if len(to.Targets) == 0 {
			return ids, maxRecursion, nil
		}
		ids = append(ids, to.Targets...)
	}
	return ids, depth, nil
}
