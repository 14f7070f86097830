package room

import (
	"context"
	"fmt"
	"slices"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/filter"
)

// Timeline gives the newest events in a range of positions that a user may see and that pass a filter. A user who is out
// is shown nothing after what ended it.
func (r roomServer) Timeline(ctx context.Context, req *roompb.TimelineRequest) (*roompb.TimelineResponse, error) {
	reads := r.s.reads
	f := filter.DefaultRoomEvents()
	if len(req.Filter) > 0 {
		var err error
		if f, err = filter.ParseRoomEvents(req.Filter); err != nil {
			return nil, err
		}
	}
	v, err := reads.open(ctx, req.RoomId, req.UserId)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNoSuchRoom()
	}
	after, through, err := reads.seqRange(ctx, v, req.After, req.Through)
	if err != nil {
		return nil, err
	}
	if err := reads.look(ctx, v, through); err != nil {
		return nil, err
	}
	last := through
	if end, out := v.endedAt(); out {
		last = min(last, end)
	}
	// A timeline goes no further back than the reader sees everything: state that changed unseen would be neither in it nor in the
	// state before it.
	from, earlier := v.unbroken(after, last)
	var p page
	if req.Limit > 0 && f.PassesNone() {
		p.end = place{last, -1}
	} else if p, err = reads.backward(ctx, v, from, last, int(min(req.Limit, maxPage)), match(f, nil)); err != nil {
		return nil, err
	}
	p.more = p.more || earlier
	return reads.timeline(ctx, v, req, p, after, last)
}

// seqRange translates positions into sequence numbers; a through of 0 is the newest.
func (r *reads) seqRange(ctx context.Context, v *view, afterPosition, throughPosition int64) (after, through int64, err error) {
	through = v.Seq
	if throughPosition > 0 {
		if through, err = r.log.SeqAt(ctx, v.stream(), throughPosition); err != nil {
			return 0, 0, err
		}
		through = min(through, v.Seq)
	}
	if afterPosition > 0 {
		if after, err = r.log.SeqAt(ctx, v.stream(), afterPosition); err != nil {
			return 0, 0, err
		}
	}
	return after, through, nil
}

// timeline encodes a page of Timeline's.
func (r *reads) timeline(ctx context.Context, v *view, req *roompb.TimelineRequest, p page, after, last int64) (*roompb.TimelineResponse, error) {
	slices.Reverse(p.events)
	resp := &roompb.TimelineResponse{
		Limited: p.more, AfterSeq: after, EndSeq: last, Events: make([]*roompb.Event, len(p.events)),
	}
	start := place{last, -1}
	if len(p.events) > 0 {
		start = place{p.events[0].Seq - 1, p.events[0].Position - 1}
	}
	if start.position < 0 {
		var err error
		if start.position, err = r.log.PositionAt(ctx, v.stream(), start.seq); err != nil {
			return nil, fmt.Errorf("timeline of %s: %w", v.Name, err)
		}
	}
	resp.StartSeq, resp.StartPosition = start.seq, start.position
	var relations map[string][]byte
	if req.AggregateAll || req.Aggregate && p.more {
		var err error
		if relations, err = r.relationsFor(ctx, v, req.DeviceId, p.events, req.Ignored); err != nil {
			return nil, err
		}
	}
	for i, s := range p.events {
		e, err := eventWithMeta(s.Event, v.Version)
		if err != nil {
			return nil, err
		}
		if !req.EveryDevice {
			hideTxn(e.Meta, req.UserId, req.DeviceId, string(s.event.Sender()))
			v.hideReplaced(e.Meta, s.Seq)
		}
		e.Membership, e.Relations = string(v.membership.at(s.Seq)), relations[s.ID]
		resp.Events[i] = e
	}
	return resp, nil
}

// Relations gives what a user is told of the events that relate to some events.
func (r roomServer) Relations(ctx context.Context, req *roompb.RelationsRequest) (*roompb.RelationsResponse, error) {
	reads := r.s.reads
	if len(req.EventIds) > maxPage {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "One call may ask for the relations of %d events.", maxPage)
	}
	v, err := reads.open(ctx, req.RoomId, req.UserId)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNoSuchRoom()
	}
	_, through, err := reads.seqRange(ctx, v, 0, req.Through)
	if err != nil {
		return nil, err
	}
	if err := reads.look(ctx, v, through); err != nil {
		return nil, err
	}
	events, err := reads.store.Events(ctx, v.ID, slices.DeleteFunc(req.EventIds, func(id string) bool { return !isText(id) }))
	if err != nil {
		return nil, err
	}
	list, err := v.parseAll(events)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(s shown) bool { return !v.sees(s.Seq) })
	relations, err := reads.relationsFor(ctx, v, req.DeviceId, list, req.Ignored)
	return &roompb.RelationsResponse{Relations: relations}, err
}

// relationsFor is what /sync tells of the relations of events, by event id.
func (r *reads) relationsFor(ctx context.Context, v *view, device string, events []shown, ignored []string) (map[string][]byte, error) {
	w := r.writer(v, device)
	w.noRoomID = true
	err := r.aggregate(ctx, w, events, setOf(ignored))
	return w.relations, err
}
