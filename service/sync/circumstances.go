package sync

import (
	"context"
	"fmt"

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
	keys := [...]live.StateKey{
		{Type: event.TypeCreate}, {Type: event.TypePowerLevels}, {Type: event.TypeMember, Key: a.r.user},
	}
	var state [len(keys)]*live.Event
	var counts live.Counts
	known := false
	if c.Room != nil {
		counts, known = c.Room.Facts.Known(keys[:], state[:])
	}
	if !known {
		var err error
		if counts, err = a.readCircumstances(ctx, c, keys[:], state[:]); err != nil {
			return nil, err
		}
	}
	out := &circumstances{room: c.Room, id: c.RoomID, members: counts.Joined, create: state[0], powerLevels: state[1]}
	if state[2] != nil {
		out.displayName = state[2].DisplayName
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
		value = c.room.Memo.Get(e, memoPrepared, prepare)
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
	levels, err := c.levels()
	if err != nil {
		return nil, err
	}
	around := pushrules.Circumstances{Members: int(c.members)}
	if levels != nil {
		around.SenderCanNotify = func(key string) bool { return levels.CanNotify(e.Sender, key) }
	}
	return pushrules.Prepare(ev, around), nil
}

// What readers of a room make of an event for each other.
const (
	memoPrepared = iota
	memoLevels
)

// levels are the room's power levels, read once for all readers.
func (c *circumstances) levels() (*auth.PowerLevels, error) {
	e := c.powerLevels
	if e == nil {
		e = c.create
	}
	if e == nil || c.room == nil {
		return c.parseLevels()
	}
	value := c.room.Memo.Get(e, memoLevels, func() any {
		levels, err := c.parseLevels()
		if err != nil {
			return err
		}
		return levels
	})
	if err, ok := value.(error); ok {
		return nil, err
	}
	levels, _ := value.(*auth.PowerLevels)
	return levels, nil
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
	ctx context.Context, c *live.Change, keys []live.StateKey, state []*live.Event,
) (live.Counts, error) {
	req := &roompb.StateRequest{RoomId: c.RoomID, SummaryFor: a.r.user}
	for _, k := range keys {
		req.Keys = append(req.Keys, &roompb.StateKey{Type: k.Type, StateKey: k.Key})
	}
	resp, err := a.s.deps.Room.State(ctx, req)
	if err != nil {
		return live.Counts{}, err
	}
	events, err := decodeAll(resp.Events)
	if err != nil {
		return live.Counts{}, err
	}
	found := make(map[live.StateKey]*live.Event, len(keys))
	for i, k := range keys {
		state[i] = nil
		for _, e := range events {
			if e.Type == k.Type && e.StateKey == k.Key {
				state[i] = e
			}
		}
		found[k] = state[i]
	}
	sum := resp.Summary
	counts := live.Counts{Seq: resp.Seq, Joined: sum.GetJoined(), Invited: sum.GetInvited(), Named: sum.GetNamed()}
	if c.Room != nil {
		c.Room.Facts.PutState(resp.Seq, found)
		c.Room.Facts.PutCounts(counts)
	}
	return counts, nil
}
