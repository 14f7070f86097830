package sync

import (
	"context"

	roompb "hongyan/api/room"
	"hongyan/service/sync/internal/live"
)

// addRelations adds what is told of the relations of the events in a timeline from memory: where it is limited (client-server API,
// "Aggregations of child events"). What relates to an event is newer, so that memory has all of it: the room's owner is asked
// only where there is something, which is rare.
func (a *answer) addRelations(ctx context.Context, p *part, c *live.Change, events []*live.Event) error {
	if !p.limited || len(p.timeline) == 0 {
		return nil
	}
	related := map[string]bool{}
	for _, e := range events {
		if e.RelatesTo != "" && e.RelType != "" {
			related[e.RelatesTo] = true
		}
	}
	if len(related) == 0 {
		return nil
	}
	req := &roompb.RelationsRequest{
		RoomId: p.id, UserId: a.r.user, DeviceId: a.r.device, Through: a.through(c), Ignored: a.ignored.list(),
	}
	for i := range p.timeline {
		if id := string(p.timeline[i].ID); related[id] {
			req.EventIds = append(req.EventIds, id)
		}
	}
	if len(req.EventIds) == 0 {
		return nil
	}
	resp, err := a.s.deps.Room.Relations(ctx, req)
	if err != nil {
		return unavailable(err)
	}
	for i := range p.timeline {
		p.timeline[i].relations = resp.Relations[string(p.timeline[i].ID)]
	}
	return nil
}
