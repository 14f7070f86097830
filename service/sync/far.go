package sync

import (
	"context"
	"encoding/json"
	"fmt"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/matrix/filter"
	"hongyan/service/sync/internal/live"
)

// far is what the owner of a room says of a part of its history.
type far struct {
	*roompb.TimelineResponse
	events []shown
}

// readTimeline reads the newest events of a room in (after, through] that the filter lets through.
func (a *answer) readTimeline(ctx context.Context, roomID string, after, through int64, limit int) (*far, error) {
	req := &roompb.TimelineRequest{
		RoomId: roomID, UserId: a.r.user, DeviceId: a.r.device, After: after, Through: through, Limit: int32(limit),
	}
	if a.r.filter.EventFormat == eventFormatClient {
		req.Aggregate, req.AggregateAll, req.Ignored = true, a.r.anew, a.ignored.list()
	}
	if f := &a.r.filter.Room.Timeline; !f.PassesAll() {
		var err error
		if req.Filter, err = encodeFilter(f); err != nil {
			return nil, err
		}
	}
	resp, err := a.s.deps.Room.Timeline(ctx, req)
	if err != nil {
		return nil, err
	}
	events, err := a.decodeShown(resp.Events)
	if err != nil {
		return nil, err
	}
	t := &far{TimelineResponse: resp}
	for _, e := range events {
		if a.ignored != nil && !e.IsState && a.ignored.sends(string(e.Sender)) {
			continue
		}
		t.events = append(t.events, e)
	}
	// Who wants no events is told that there are some.
	t.Limited = t.Limited || limit == 0 && resp.EndSeq > resp.AfterSeq
	return t, nil
}

// decodeShown encodes events for this reader.
func (a *answer) decodeShown(events []*roompb.Event) ([]shown, error) {
	out := make([]shown, len(events))
	for i, e := range events {
		ev, err := live.NewEvent(e.EventId, e.Position, e.Seq, e.Pdu, e.Meta)
		if err != nil {
			return nil, err
		}
		out[i] = shown{Event: ev, membership: event.Membership(e.Membership)}
		if len(e.Relations) > 0 {
			out[i].relations = e.Relations
		}
		if a.r.filter.EventFormat != eventFormatClient {
			out[i].pdu = e.Pdu
		}
	}
	return out, nil
}

// readState reads state of a room and keeps what the filter lets through.
func (a *answer) readState(ctx context.Context, req *roompb.StateRequest) ([]shown, error) {
	resp, err := a.s.deps.Room.State(ctx, req)
	if err != nil {
		return nil, err
	}
	events, err := a.decodeShown(resp.Events)
	if err != nil {
		return nil, err
	}
	kept := events[:0]
	for _, e := range events {
		if a.showsState(req.RoomId, e.Event) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// encodeFilter writes a filter for the owner of a room.
func encodeFilter(f *filter.RoomEventFilter) ([]byte, error) {
	m := map[string]any{}
	list := func(key string, v []string) {
		if v != nil {
			m[key] = v
		}
	}
	list("types", f.Types)
	list("not_types", f.NotTypes)
	list("senders", f.Senders)
	list("not_senders", f.NotSenders)
	list("rooms", f.Rooms)
	list("not_rooms", f.NotRooms)
	list("rel_types", f.RelTypes)
	list("not_rel_types", f.NotRelTypes)
	list("related_by_rel_types", f.RelatedByRelTypes)
	list("related_by_senders", f.RelatedBySenders)
	if f.ContainsURL != nil {
		m["contains_url"] = *f.ContainsURL
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode filter: %w", err)
	}
	return b, nil
}
