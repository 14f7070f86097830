package room

import (
	"context"
	"fmt"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/store"
)

// State gives the state of a room at a sequence number, or what changed of it since an earlier one.
func (r roomServer) State(ctx context.Context, req *roompb.StateRequest) (*roompb.StateResponse, error) {
	reads := r.s.reads
	v, err := reads.open(ctx, req.RoomId, "")
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errNoSuchRoom()
	}
	at := v.Seq
	if req.AtSeq > 0 {
		at = min(at, req.AtSeq)
	}
	sel := selection(req)
	var events []store.Event
	if req.AfterSeq > 0 {
		events, err = reads.store.StateChanges(ctx, v.ID, req.AfterSeq, at, sel)
	} else {
		events, err = reads.store.State(ctx, v.ID, at, sel)
	}
	if err != nil {
		return nil, err
	}
	resp := &roompb.StateResponse{Seq: at, Events: make([]*roompb.Event, len(events))}
	for i := range events {
		if resp.Events[i], err = eventProto(&events[i], v.Version, "", "", ""); err != nil {
			return nil, err
		}
	}
	if req.SummaryFor != "" {
		resp.Summary, err = reads.summary(ctx, v, at, req.SummaryFor)
	}
	return resp, err
}

func selection(req *roompb.StateRequest) store.Selection {
	sel := store.Selection{Lazy: req.Lazy}
	for _, k := range req.Keys {
		key := store.Key{Type: k.Type, StateKey: k.StateKey, Any: k.AnyStateKey}
		if !isText(k.Type) || !isText(k.StateKey) {
			key = store.Key{} // what no database can hold is not there, as little as a state event without a type
		}
		sel.Keys = append(sel.Keys, key)
	}
	return sel
}

// summary reads the room summary for a user.
func (r *reads) summary(ctx context.Context, v *view, at int64, userID string) (*roompb.Summary, error) {
	s, err := r.store.Summary(ctx, v.ID, at, userID)
	if err != nil {
		return nil, err
	}
	names, err := r.store.State(ctx, v.ID, at, store.Selection{Keys: []store.Key{
		{Type: event.TypeName}, {Type: event.TypeCanonicalAlias},
	}})
	if err != nil {
		return nil, err
	}
	sum := &roompb.Summary{Heroes: s.Heroes, Joined: s.Joined, Invited: s.Invited}
	for _, e := range names {
		sum.Named = sum.Named || contentString(e.PDU, "name") != "" || contentString(e.PDU, "alias") != ""
	}
	return sum, nil
}

// StrippedState gives what a user who is invited or knocks may know of rooms.
func (r roomServer) StrippedState(ctx context.Context, req *roompb.StrippedStateRequest) (*roompb.StrippedStateResponse, error) {
	roomIDs, err := asked(req.RoomIds)
	if err != nil {
		return nil, err
	}
	rows, err := r.s.reads.store.StrippedState(ctx, roomIDs, req.UserId)
	if err != nil {
		return nil, err
	}
	resp := &roompb.StrippedStateResponse{}
	var room *roompb.StrippedRoom
	for _, row := range rows {
		if room == nil || room.RoomId != row.RoomID {
			room = &roompb.StrippedRoom{RoomId: row.RoomID}
			resp.Rooms = append(resp.Rooms, room)
		}
		e, err := event.ParseWithID(event.RoomVersion(row.Version), matrix.EventID(row.EventID), row.PDU)
		if err != nil {
			return nil, fmt.Errorf("stripped state of %s: %w", row.RoomID, err)
		}
		room.Events = append(room.Events, e.AppendStripped(nil))
	}
	return resp, nil
}
