package room

import (
	"context"
	"net/http"
	"slices"

	"hongyan/platform/httpx"
	"hongyan/service/room/internal/store"
)

// maxContext bounds the events around an event.
const maxContext = 100

// getEvent answers one event (client-server API, "GET /rooms/{roomId}/event/{eventId}").
func (s *Service) getEvent(w http.ResponseWriter, r *http.Request) error {
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	e, err := s.reads.visibleEvent(r.Context(), v, r.PathValue("eventId"))
	if err != nil {
		return err
	}
	ignored, err := s.reads.ignoredBy(r.Context(), caller.UserID)
	if err != nil {
		return err
	}
	if hides(ignored, e) {
		return errNoEvent()
	}
	writer := s.reads.writer(v, caller.DeviceID)
	if err := s.reads.aggregate(r.Context(), writer, []shown{e}, ignored); err != nil {
		return err
	}
	out, err := writer.event(nil, e)
	if err != nil {
		return err
	}
	httpx.WriteRawJSON(w, http.StatusOK, out)
	return nil
}

// around is an event with what stands around it.
type around struct {
	event         shown
	before, after page
	state         []shown
}

// getContext answers an event and its surroundings (client-server API, "GET /rooms/{roomId}/context/{eventId}").
func (s *Service) getContext(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, caller, err := s.openRoom(r)
	if err != nil {
		return err
	}
	e, err := s.reads.visibleEvent(ctx, v, r.PathValue("eventId"))
	if err != nil {
		return err
	}
	q := httpx.ReadQuery(r.URL)
	limit := q.Int("limit", defaultPage, 0, maxContext)
	f, err := roomFilter(q)
	if err != nil {
		return err
	}
	if err := q.Err(); err != nil {
		return err
	}
	ignored, err := s.reads.ignoredBy(ctx, caller.UserID)
	if err != nil {
		return err
	}
	if hides(ignored, e) {
		return errNoEvent()
	}
	a, err := s.reads.around(ctx, v, e, int(limit), match(f, ignored), f.LazyLoadMembers)
	if err != nil {
		return err
	}
	start, err := s.reads.token(ctx, v, a.before.end)
	if err != nil {
		return err
	}
	end, err := s.reads.token(ctx, v, a.after.end)
	if err != nil {
		return err
	}
	out := s.reads.writer(v, caller.DeviceID)
	all := slices.Concat(a.before.events, []shown{e}, a.after.events)
	if err := s.reads.aggregate(ctx, out, all, ignored); err != nil {
		return err
	}
	var b body
	b.text("start", start)
	b.text("end", end)
	b.event("event", out, a.event)
	b.events("events_before", out, a.before.events)
	b.events("events_after", out, a.after.events)
	b.events("state", out, a.state)
	return b.answer(w)
}

// around reads up to limit events around e, half of them before it, and the state at the last of them.
func (r *reads) around(ctx context.Context, v *view, e shown, limit int, want *matcher, lazy bool) (around, error) {
	a := around{event: e}
	through, ok := v.timelineThrough()
	if !ok {
		through = v.head // what they see of it says visibility
	}
	var err error
	if a.before, err = r.backward(ctx, v, 0, e.Seq-1, limit/2, want); err != nil {
		return a, err
	}
	if a.after, err = r.forward(ctx, v, e.Seq, through, limit-limit/2, want); err != nil {
		return a, err
	}
	all := slices.Concat(a.before.events, []shown{e}, a.after.events)
	sel := store.Selection{Lazy: lazy}
	if sel.Lazy {
		sel.Keys = senderKeys(all)
	}
	if a.state, err = r.state(ctx, v, newest(all), sel); err != nil {
		return a, err
	}
	if want != nil {
		a.state = slices.DeleteFunc(a.state, func(s shown) bool { return !want.matches(s.event) })
	}
	return a, nil
}
