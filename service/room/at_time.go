package room

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/platform/httpx"
)

// Times in a room rise with its order, but for what the clocks of instances differ by: the place of a time is found by
// looking at a few events on the way, and then all events near it are looked at.
const (
	timeProbes = 16
	timeNear   = 100
)

// getEventByTimestamp is GET /rooms/{roomId}/timestamp_to_event.
func (s *Service) getEventByTimestamp(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, _, err := s.openRoom(r)
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
	q := httpx.ReadQuery(r.URL)
	q.Required("ts")
	ts := q.Int("ts", 0, -canonicaljson.MaxInt, canonicaljson.MaxInt)
	q.Required("dir")
	forward := q.Enum("dir", "b", "b", "f") == "f"
	if err := q.Err(); err != nil {
		return err
	}
	found, ok, err := s.reads.atTime(ctx, v, ts, through, forward)
	if err != nil {
		return err
	}
	if !ok {
		return matrix.Errorf(matrix.CodeNotFound, "There is no event that you can see %s %d.",
			map[bool]string{true: "at or after", false: "at or before"}[forward], ts)
	}
	httpx.WriteJSON(w, http.StatusOK, map[string]any{"event_id": found.ID, "origin_server_ts": found.event.OriginServerTS()})
	return nil
}

// atTime returns the visible event whose time is the closest at or after ts, or, backwards, at or before it. Of those of
// the same time it is the one that comes first on the way.
func (r *reads) atTime(ctx context.Context, v *view, ts, through int64, forward bool) (shown, bool, error) {
	if !forward {
		ts++ // what is before the first event that is later
	}
	place, err := r.firstAt(ctx, v, ts)
	if err != nil {
		return shown{}, false, err
	}
	before, err := r.backward(ctx, v, 0, min(place-1, through), timeNear, nil)
	if err != nil {
		return shown{}, false, err
	}
	after, err := r.forward(ctx, v, place-1, through, timeNear, nil)
	if err != nil {
		return shown{}, false, err
	}
	slices.Reverse(before.events)
	var best shown
	for _, e := range slices.Concat(before.events, after.events) {
		t := e.event.OriginServerTS()
		if forward != (t >= ts) {
			continue
		}
		// Events come in order: of equal ones the first stays forwards, and the last backwards.
		if best.event == nil || forward && t < best.event.OriginServerTS() || !forward && t >= best.event.OriginServerTS() {
			best = e
		}
	}
	return best, best.event != nil, nil
}

// firstAt returns the sequence number of an event that is not before ts and follows one that is; that behind the newest if all
// are before it. Events may have been removed: at each place it looks at the newest one that is left before it.
func (r *reads) firstAt(ctx context.Context, v *view, ts int64) (int64, error) {
	low, high := int64(0), v.Seq+1 // what is up to low is before ts, high is not
	for high-low > 1 {
		step := max(1, (high-low)/timeProbes)
		var seqs []int64
		for seq := low + step; seq < high; seq += step {
			seqs = append(seqs, seq)
		}
		events, err := r.store.EventsUpTo(ctx, v.ID, low, seqs)
		if err != nil {
			return 0, err
		}
		list, err := v.parseAll(events)
		if err != nil {
			return 0, err
		}
		i, _ := slices.BinarySearchFunc(list, ts, func(e shown, ts int64) int {
			return cmp.Compare(e.event.OriginServerTS(), ts)
		})
		if i < len(list) {
			high = list[i].Seq
		}
		// Between the event before high and the last place before high there are none.
		for _, seq := range seqs {
			if seq < high {
				low = seq
			}
		}
	}
	return high, nil
}
