package room

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"hongyan/matrix/event"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

const (
	// maxThreadPage bounds one page of threads, maxThreadScan those that it may look at to find as many.
	maxThreadPage, maxThreadScan = 100, 500
)

// threadsQuery is what a client asks of a room's threads.
type threadsQuery struct {
	from         string
	limit        int
	participated bool
}

func parseThreadsQuery(r *http.Request) (threadsQuery, error) {
	q := httpx.ReadQuery(r.URL)
	t := threadsQuery{from: q.String("from"), limit: int(q.Int("limit", defaultPage, 1, maxThreadPage))}
	t.participated = q.Enum("include", "all", "all", "participated") == "participated"
	return t, q.Err()
}

// getThreads answers the roots of a room's threads, that with the newest reply first (client-server API, "GET
// /rooms/{roomId}/threads").
func (s *Service) getThreads(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	if v == nil {
		return errNoAccess()
	}
	through, ok := v.timelineThrough()
	if !ok {
		return errNoAccess()
	}
	q, err := parseThreadsQuery(r)
	if err != nil {
		return err
	}
	before := v.Seq + 1
	if q.from != "" {
		seq, ok, err := s.reads.parseToken(ctx, v, q.from)
		if err != nil {
			return err
		}
		if ok {
			before = seq + 1
		}
	}
	ignored, err := s.reads.ignoredBy(ctx, caller.UserID)
	if err != nil {
		return err
	}
	if err := s.reads.look(ctx, v, through); err != nil {
		return err
	}
	page, err := s.reads.threads(ctx, v, q, before, ignored)
	if err != nil {
		return err
	}
	out := s.reads.writer(v, caller.DeviceID)
	if err := s.reads.aggregate(ctx, out, page.roots, ignored); err != nil {
		return err
	}
	var b body
	b.events("chunk", out, page.roots)
	if page.more {
		next, err := s.reads.token(ctx, v, place{page.before - 1, -1})
		if err != nil {
			return err
		}
		b.text("next_batch", next)
	}
	return b.answer(w)
}

// threadsPage is a part of a room's threads.
type threadsPage struct {
	roots []shown
	// before is where the next page goes on: at threads whose newest reply stands before it.
	before int64
	more   bool
}

// found is a thread with what the reader may see of it.
type found struct {
	root   shown
	latest int64
}

// threads reads the threads whose newest reply, by whomever, stands before a sequence number. Within the page they are in the order
// of the newest replies that the reader may see.
func (r *reads) threads(ctx context.Context, v *view, q threadsQuery, before int64, ignored map[string]struct{}) (threadsPage, error) {
	p := threadsPage{before: before}
	var list []found
	for scanned := 0; ; {
		want := q.limit - len(list) + 1
		all, err := r.store.Threads(ctx, v.ID, p.before, want)
		if err != nil {
			return p, err
		}
		p.more = len(all) == want
		if p.more {
			all = all[:want-1]
		}
		some, err := r.seen(ctx, v, q, all, ignored)
		if err != nil {
			return p, err
		}
		list, scanned = append(list, some...), scanned+len(all)
		if len(all) > 0 {
			p.before = all[len(all)-1].Latest
		}
		if !p.more || len(list) == q.limit || scanned >= maxThreadScan {
			break
		}
	}
	slices.SortStableFunc(list, func(a, b found) int { return cmp.Compare(b.latest, a.latest) })
	for _, f := range list {
		root, err := v.withoutIgnored(f.root, ignored)
		if err != nil {
			return p, err
		}
		p.roots = append(p.roots, root)
	}
	return p, nil
}

// seen returns those of the threads that the reader may see and that are asked for, in their order.
func (r *reads) seen(ctx context.Context, v *view, q threadsQuery, all []store.Thread, ignored map[string]struct{}) ([]found, error) {
	ids := make([]string, len(all))
	for i, t := range all {
		ids[i] = t.Root
	}
	events, err := r.store.Events(ctx, v.ID, ids)
	if err != nil {
		return nil, err
	}
	roots, err := v.parseAll(events)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]shown, len(roots))
	for _, s := range roots {
		byID[s.ID] = s
	}
	own := map[string]bool{}
	if q.participated {
		if own, err = r.participated(ctx, v, roots); err != nil {
			return nil, err
		}
	}
	var list []found
	for _, t := range all {
		root, ok := byID[t.Root]
		if !ok || !v.sees(root.Seq) || relationOf(root.event).stored() || q.participated && !own[t.Root] {
			continue
		}
		visible, err := r.threadFor(ctx, v, root, t, ignored)
		if err != nil {
			return nil, err
		}
		if visible.Replies > 0 {
			list = append(list, found{root, visible.Latest})
		}
	}
	return list, nil
}

// participated returns in which of the threads the reader has taken part.
func (r *reads) participated(ctx context.Context, v *view, roots []shown) (map[string]bool, error) {
	own := make(map[string]bool, len(roots))
	parents := make([]store.Parent, len(roots))
	for i, s := range roots {
		parents[i] = store.Parent{ID: s.ID}
		own[s.ID] = string(s.event.Sender()) == v.userID
	}
	children, err := r.store.Children(ctx, v.ID, v.head, v.userID, parents)
	for _, c := range children {
		own[c.ID] = own[c.ID] || c.Participated
	}
	return own, err
}

// withoutIgnored returns an event as it is shown in a list of threads: what an ignored user sent is pruned like what is redacted.
func (v *view) withoutIgnored(s shown, ignored map[string]struct{}) (shown, error) {
	if _, hidden := ignored[string(s.event.Sender())]; !hidden {
		return s, nil
	}
	pruned, err := event.Redact(v.version, s.PDU)
	if err != nil {
		return shown{}, err
	}
	e := *s.Event
	e.PDU = pruned
	return v.parse(&e)
}
