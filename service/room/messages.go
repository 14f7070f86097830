package room

import (
	"context"
	"net/http"

	"hongyan/matrix/filter"
	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

// messagesQuery is what a client asks of a room's history.
type messagesQuery struct {
	from, to string
	forward  bool
	limit    int
	filter   *filter.RoomEventFilter
}

func parseMessagesQuery(r *http.Request) (messagesQuery, error) {
	q := httpx.ReadQuery(r.URL)
	m := messagesQuery{from: q.String("from"), to: q.String("to")}
	q.Required("dir")
	m.forward = q.Enum("dir", "b", "b", "f") == "f"
	limit := q.Int("limit", -1, 0, maxPage)
	if err := q.Err(); err != nil {
		return m, err
	}
	var err error
	if m.filter, err = roomFilter(q); err != nil {
		return m, err
	}
	if m.limit = int(limit); limit < 0 {
		m.limit = m.filter.LimitOr(defaultPage, maxPage)
	}
	return m, q.Err()
}

// getMessages pages through a room's history (client-server API, "GET /rooms/{roomId}/messages").
func (s *Service) getMessages(w http.ResponseWriter, r *http.Request) error {
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
	q, err := parseMessagesQuery(r)
	if err != nil {
		return err
	}
	ignored, err := s.reads.ignoredBy(ctx, caller.UserID)
	if err != nil {
		return err
	}
	p, start, err := s.reads.messages(ctx, v, q, through, ignored)
	if err != nil {
		return err
	}
	out := s.reads.writer(v, caller.DeviceID)
	if err := s.reads.aggregate(ctx, out, p.events, ignored); err != nil {
		return err
	}
	var b body
	b.text("start", start)
	b.events("chunk", out, p.events)
	if p.more {
		end, err := s.reads.token(ctx, v, p.end)
		if err != nil {
			return err
		}
		b.text("end", end)
	}
	if q.filter.LazyLoadMembers {
		members, err := s.reads.senders(ctx, v, p.events)
		if err != nil {
			return err
		}
		b.events("state", out, members)
	}
	return b.answer(w)
}

// messages reads the page that a query asks for, and the token that it starts at.
func (r *reads) messages(
	ctx context.Context, v *view, q messagesQuery, through int64, ignored map[string]struct{},
) (p page, start string, err error) {
	first, last, err := r.messagesRange(ctx, v, q, through)
	if err != nil {
		return page{}, "", err
	}
	begin := place{last, -1}
	if q.forward {
		begin.seq = first
	}
	switch {
	case q.filter.PassesNone() && q.limit > 0:
		p.end = begin // nothing would ever come
	case q.forward:
		p, err = r.forward(ctx, v, first, last, q.limit, match(q.filter, ignored))
	default:
		p, err = r.backward(ctx, v, first, last, q.limit, match(q.filter, ignored))
	}
	if err != nil {
		return page{}, "", err
	}
	if start = q.from; start == "" {
		start, err = r.token(ctx, v, begin)
	}
	return p, start, err
}

// messagesRange returns the range (first, last] of the room's order that a query asks for. A token that says nothing
// about the room as it is counts as none.
func (r *reads) messagesRange(ctx context.Context, v *view, q messagesQuery, through int64) (first, last int64, err error) {
	last = through
	bound := func(text string, set func(int64)) {
		if text == "" || err != nil {
			return
		}
		var seq int64
		var ok bool
		if seq, ok, err = r.parseToken(ctx, v, text); ok {
			set(seq)
		}
	}
	from, to := q.from, q.to
	if q.forward {
		from, to = q.to, q.from
	}
	bound(from, func(seq int64) { last = min(last, seq) })
	bound(to, func(seq int64) { first = seq })
	return first, last, err
}

// senders reads the member events of those who sent the events, as of the newest of these.
func (r *reads) senders(ctx context.Context, v *view, events []shown) ([]shown, error) {
	sel := store.Selection{Keys: senderKeys(events)}
	if len(sel.Keys) == 0 {
		return nil, nil
	}
	return r.state(ctx, v, newest(events), sel)
}

// state reads the selected state as of a sequence number.
func (r *reads) state(ctx context.Context, v *view, at int64, sel store.Selection) ([]shown, error) {
	events, err := r.store.State(ctx, v.ID, at, sel)
	if err != nil {
		return nil, err
	}
	return v.parseAll(events)
}

func senderKeys(events []shown) []store.Key {
	seen := make(map[string]struct{}, len(events))
	var keys []store.Key
	for _, e := range events {
		sender := string(e.event.Sender())
		if _, ok := seen[sender]; !ok {
			seen[sender] = struct{}{}
			keys = append(keys, store.Key{Type: "m.room.member", StateKey: sender})
		}
	}
	return keys
}

func newest(events []shown) int64 {
	var seq int64
	for _, e := range events {
		seq = max(seq, e.Seq)
	}
	return seq
}
