package sync

import (
	"context"
	"fmt"

	"github.com/tidwall/gjson"

	roompb "hongyan/api/room"
	"hongyan/matrix/auth"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
	"hongyan/service/sync/internal/live"
)

// circumstances is what push rules ask about a room and its reader.
type circumstances struct {
	room                *live.Room
	id                  string
	members             int64
	create, powerLevels *live.Event
	displayName         string
}

// circumstances returns what push rules ask about a room: from memory, and from the room's owner the first time.
func (a *answer) circumstances(ctx context.Context, c *live.Change) (*circumstances, error) {
	self := live.StateKey{Type: event.TypeMember, Key: a.r.user}
	create, levels := live.StateKey{Type: event.TypeCreate}, live.StateKey{Type: event.TypePowerLevels}
	keys := []live.StateKey{create, levels, self}
	state := make(map[live.StateKey]*live.Event, len(keys))
	counts, known := live.Counts{}, false
	if c.Room != nil {
		counts, known = c.Room.Facts.Counts()
		for _, k := range keys {
			e, ok := c.Room.Facts.State(k)
			known = known && ok
			state[k] = e
		}
	}
	if !known {
		var err error
		if counts, err = a.readCircumstances(ctx, c, keys, state); err != nil {
			return nil, err
		}
	}
	out := &circumstances{
		room: c.Room, id: c.RoomID, members: counts.Joined, create: state[create], powerLevels: state[levels],
	}
	if e := state[self]; e != nil {
		out.displayName = gjson.GetBytes(e.Content(), "displayname").Str
	}
	return out, nil
}

// evaluate returns what a user's rules say of an event. The event is prepared once for all readers of the room.
func (c *circumstances) evaluate(rules *pushrules.Evaluator, e *live.Event) (pushrules.Result, error) {
	prepare := func() any {
		prepared, err := c.prepare(e)
		if err != nil {
			return err
		}
		return prepared
	}
	var value any
	if c.room != nil {
		value = c.room.Memo.Get(e, prepare)
	} else {
		value = prepare()
	}
	switch v := value.(type) {
	case *pushrules.Prepared:
		return rules.Evaluate(v, c.displayName), nil
	case error:
		return pushrules.Result{}, v
	}
	return pushrules.Result{}, fmt.Errorf("event %s was not prepared", e.ID)
}

func (c *circumstances) prepare(e *live.Event) (*pushrules.Prepared, error) {
	// Rules for a room go by the room id, which the event as /sync shows it lacks.
	withRoom := append(make([]byte, 0, len(e.JSON)+len(c.id)+16), e.JSON[:len(e.JSON)-1]...)
	withRoom = append(canonicaljson.AppendString(append(withRoom, `,"room_id":`...), c.id), '}')
	ev, err := event.ParseWithID(e.Version, e.ID, withRoom)
	if err != nil {
		return nil, err
	}
	levels, err := c.parseLevels()
	if err != nil {
		return nil, err
	}
	around := pushrules.Circumstances{Members: int(c.members)}
	if levels != nil {
		around.SenderCanNotify = func(key string) bool { return levels.CanNotify(e.Sender, key) }
	}
	return pushrules.Prepare(ev, around), nil
}

// parseLevels reads the power levels; nil where the room has no create event that this could be known from.
func (c *circumstances) parseLevels() (*auth.PowerLevels, error) {
	if c.create == nil {
		return nil, nil
	}
	ev, err := event.ParseWithID(c.create.Version, c.create.ID, c.create.JSON)
	if err != nil {
		return nil, err
	}
	create, err := auth.NewCreate(ev)
	if err != nil {
		return nil, err
	}
	if c.powerLevels == nil {
		return auth.DefaultPowerLevels(create), nil
	}
	return auth.ParsePowerLevels(create, c.powerLevels.Content())
}

// readCircumstances asks the room's owner, and keeps the answer for other readers.
func (a *answer) readCircumstances(
	ctx context.Context, c *live.Change, keys []live.StateKey, state map[live.StateKey]*live.Event,
) (live.Counts, error) {
	req := &roompb.StateRequest{RoomId: c.RoomID, SummaryFor: a.r.user}
	for _, k := range keys {
		req.Keys = append(req.Keys, &roompb.StateKey{Type: k.Type, StateKey: k.Key})
		state[k] = nil
	}
	resp, err := a.s.deps.Room.State(ctx, req)
	if err != nil {
		return live.Counts{}, err
	}
	events, err := decodeAll(resp.Events)
	if err != nil {
		return live.Counts{}, err
	}
	for _, e := range events {
		state[live.StateKey{Type: e.Type, Key: e.StateKey}] = e
	}
	sum := resp.Summary
	counts := live.Counts{Seq: resp.Seq, Joined: sum.GetJoined(), Invited: sum.GetInvited(), Named: sum.GetNamed()}
	if c.Room != nil {
		c.Room.Facts.PutState(resp.Seq, state)
		c.Room.Facts.PutCounts(counts)
	}
	return counts, nil
}
