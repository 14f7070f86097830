package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/tidwall/gjson"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
	"hongyan/platform/eventlog"
	"hongyan/platform/follow"
	"hongyan/platform/lease"
	"hongyan/platform/once"
	"hongyan/service/sync/internal/live"
)

// carryFollower names the cursors in the room log of who carries settings from replaced rooms to their replacements, and the lease
// of which instance does.
const carryFollower = "carry"

// carryTimeout bounds each look at the database.
const carryTimeout = 15 * time.Second

// typeDirect is the account data that says which rooms are conversations with whom.
const typeDirect = "m.direct"

// carrier lets users' own settings of a room follow them when it is replaced ("Room Upgrades"): tags, push rules and m.direct. It
// goes through the room log. Who joins a replacement gets them, and who is in it already when the old room says that it is
// one. Each is carried once for a user and a room, so that what is removed later stays removed.
type carrier struct {
	s *Service
	// predecessors are the rooms that rooms say they replace, "" for none, with who made them. A create event never changes.
	predecessors *memory[string, predecessor]
}

type predecessor struct {
	room, creator string
}

// maxPredecessors is for how many rooms it is remembered what they replace.
const maxPredecessors = 10_000

// carry follows the room log until ctx ends with the term.
func (s *Service) carry(ctx context.Context, _ *lease.Term) {
	c := &carrier{s: s, predecessors: newMemory[string, predecessor](maxPredecessors)}
	follow.Config{
		Log: roomLogName, Source: s.rooms, Bus: s.deps.Bus, Cursors: s.cursors, Follower: carryFollower, FromHead: true,
		Apply: c.apply, Gather: time.Second, Timeout: carryTimeout, Metrics: s.deps.Metrics,
	}.Run(ctx)
}

// What a record must have in it to be looked at, whatever else it is.
var carryTypes = [...][]byte{
	[]byte(`"` + event.TypeCreate + `"`), []byte(`"` + event.TypeTombstone + `"`), []byte(`"` + event.TypeMember + `"`),
}

// apply goes through a page of the room log.
func (c *carrier) apply(ctx context.Context, p *follow.Page) error {
	for i := range p.Records {
		r := &p.Records[i]
		if r.Kind != eventlog.Kind(roompb.EntryKind_ENTRY_KIND_EVENT) ||
			!slices.ContainsFunc(carryTypes[:], func(t []byte) bool { return bytes.Contains(r.Doc, t) }) {
			continue
		}
		if err := c.record(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (c *carrier) record(ctx context.Context, r *eventlog.Record) error {
	e := gjson.GetManyBytes(r.Doc, "type", "state_key", "content", "sender")
	if e[1].Type != gjson.String {
		return nil
	}
	switch key := e[1].Str; {
	case e[0].Str == event.TypeCreate && key == "":
		c.predecessors.put(r.Name, predecessorIn(e[2], e[3].Str))
	case e[0].Str == event.TypeTombstone && key == "":
		return c.replaced(ctx, r.Name, e[2].Get("replacement_room").String())
	case e[0].Str == event.TypeMember && e[2].Get("membership").Str == string(event.Join):
		var meta roompb.EventMeta
		if proto.Unmarshal(r.Body, &meta) == nil && gjson.GetBytes(meta.GetPrevContent(), "membership").Str != string(event.Join) {
			return c.joined(ctx, r.Name, key)
		}
	}
	return nil
}

func predecessorIn(content gjson.Result, sender string) predecessor {
	return predecessor{room: content.Get("predecessor.room_id").String(), creator: sender}
}

// joined carries to a room what somebody who has joined it had in the one that it replaces. That must say so too, or be the
// joiner's own word: otherwise anybody could make a room that comes to look like another one.
func (c *carrier) joined(ctx context.Context, room, user string) error {
	p, err := c.predecessor(ctx, room)
	if err != nil || p.room == "" || p.room == room {
		return err
	}
	if p.creator != user {
		tombstone, err := c.content(ctx, p.room, event.TypeTombstone)
		if err != nil || tombstone.Get("replacement_room").String() != room {
			return err
		}
	}
	return c.to(ctx, user, p.room, room)
}

// replaced carries what those had in a room that now says that it was replaced who are in its replacement already.
func (c *carrier) replaced(ctx context.Context, room, replacement string) error {
	if replacement == "" || replacement == room {
		return nil
	}
	p, err := c.predecessor(ctx, replacement)
	if err != nil || p.room != room {
		return err
	}
	resp, err := c.s.deps.Room.Members(ctx, &roompb.MembersRequest{RoomIds: []string{replacement}})
	if err != nil {
		return known(err)
	}
	for _, members := range resp.GetRooms() {
		for _, user := range members.GetJoined() {
			if err := c.to(ctx, user, room, replacement); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *carrier) predecessor(ctx context.Context, room string) (predecessor, error) {
	if p, ok := c.predecessors.get(room); ok {
		return p, nil
	}
	resp, err := c.state(ctx, room, event.TypeCreate)
	if err != nil || len(resp) == 0 {
		return predecessor{}, err
	}
	e := gjson.GetManyBytes(resp[0].GetPdu(), "content", "sender")
	p := predecessorIn(e[0], e[1].Str)
	c.predecessors.put(room, p)
	return p, nil
}

func (c *carrier) content(ctx context.Context, room, typ string) (gjson.Result, error) {
	resp, err := c.state(ctx, room, typ)
	if err != nil || len(resp) == 0 {
		return gjson.Result{}, err
	}
	return gjson.GetBytes(resp[0].GetPdu(), "content"), nil
}

// state reads a state event of a room; nothing where there is none, or no such room here.
func (c *carrier) state(ctx context.Context, room, typ string) ([]*roompb.Event, error) {
	resp, err := c.s.deps.Room.State(ctx, &roompb.StateRequest{RoomId: room, Keys: []*roompb.StateKey{{Type: typ}}})
	return resp.GetEvents(), known(err)
}

// known returns an error that may be another one the next time; what is wrong for good is none.
func known(err error) error {
	if matrix.IsFinal(err) {
		return nil
	}
	return err
}

// to carries one user's settings from a room to another one.
func (c *carrier) to(ctx context.Context, user, from, to string) error {
	for _, kind := range []struct {
		room, typ string
		change    func(content []byte) ([]byte, error)
	}{
		{to, typeTag, c.tags(ctx, user, from)},
		{"", live.TypePushRules, func(content []byte) ([]byte, error) { return carryRules(content, from, to) }},
		{"", typeDirect, func(content []byte) ([]byte, error) { return carryDirect(content, from, to), nil }},
	} {
		if err := c.change(ctx, user, to, kind.room, kind.typ, kind.change); err != nil {
			return err
		}
	}
	return nil
}

// change changes account data, once for the user and the new room. Where nothing is to be changed nothing is noted either.
func (c *carrier) change(ctx context.Context, user, to, room, typ string, change func([]byte) ([]byte, error)) error {
	ctx, cancel := context.WithTimeout(ctx, carryTimeout)
	defer cancel()
	now, err := c.s.users.Data(ctx, user, room, typ)
	if err != nil {
		return err
	}
	if next, err := change(now); err != nil || next == nil {
		return known(err)
	}
	txn := eventlog.Txn{Scope: once.Scope(carryFollower, user, typ), ID: to, Response: []byte(`{}`)}
	err = c.s.users.ChangeData(ctx, user, room, typ, txn, change)
	if err != nil && known(err) == nil {
		logx.WithContext(ctx).Infof("%s of %s does not follow to %s: %v", typ, user, to, err)
	}
	return known(err)
}

// tags are those of the old room for a room that has none.
func (c *carrier) tags(ctx context.Context, user, from string) func([]byte) ([]byte, error) {
	return func(content []byte) ([]byte, error) {
		if len(parseTags(content).Tags) > 0 {
			return nil, nil
		}
		old, err := c.s.users.Data(ctx, user, from, typeTag)
		if err != nil {
			return nil, err
		}
		tags := parseTags(old)
		if len(tags.Tags) == 0 {
			return nil, nil
		}
		return json.Marshal(tags)
	}
}

func carryRules(content []byte, from, to string) ([]byte, error) {
	rules, err := pushrules.Decode(content)
	if err != nil {
		return nil, nil //nolint:nilerr // what cannot be read is left as it is
	}
	rules, changed := rules.CarryRoom(from, to)
	if !changed {
		return nil, nil
	}
	return rules.Encode()
}

// carryDirect adds the new room to the lists that have the old one; nil where none has.
func carryDirect(content []byte, from, to string) []byte {
	var direct map[string]json.RawMessage
	if json.Unmarshal(content, &direct) != nil {
		return nil
	}
	changed := false
	for user, raw := range direct {
		var rooms []string
		if json.Unmarshal(raw, &rooms) != nil || !slices.Contains(rooms, from) || slices.Contains(rooms, to) {
			continue
		}
		if list, err := json.Marshal(append(rooms, to)); err == nil {
			direct[user], changed = list, true
		}
	}
	if !changed {
		return nil
	}
	out, err := json.Marshal(direct)
	if err != nil {
		return nil
	}
	return out
}
