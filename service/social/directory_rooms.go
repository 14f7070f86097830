package social

import (
	"context"
	"maps"
	"slices"

	"github.com/tidwall/gjson"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	roompb "hongyan/api/room"
	"hongyan/matrix/event"
	"hongyan/platform/eventlog"
	"hongyan/platform/follow"
	"hongyan/platform/lease"
	"hongyan/service/social/internal/store"
)

// followRooms keeps who is joined where, and which rooms are public.
func (s *Service) followRooms(ctx context.Context, _ *lease.Term) {
	s.follow(ctx, s.rooms, keep{
		prepare:     changedRooms,
		forgetShard: func(ctx context.Context, tx store.Tx, shard int) error { return tx.ForgetRoomsOf(ctx, shard) },
		forget:      func(ctx context.Context, tx store.Tx) error { return tx.ForgetAllRooms(ctx) },
	})
}

// roomChange is what a page says of one room; nil for what it does not say.
type roomChange struct {
	joinPublic, worldReadable *bool
	// joined says of members whether they are joined now.
	joined map[string]bool
	// gone says that the room itself was removed, with all that was in it. Nothing comes after that.
	gone bool
}

// changedRooms works out what a page changes. Of what changes twice the last counts.
func changedRooms(ctx context.Context, p *follow.Page) (change, error) {
	changes := map[string]*roomChange{}
	for _, r := range p.Records {
		c := changes[r.Name]
		if c == nil {
			c = &roomChange{joined: map[string]bool{}}
		}
		matters := false
		switch roompb.EntryKind(r.Kind) {
		case roompb.EntryKind_ENTRY_KIND_EVENT:
			matters = c.add(r)
		case roompb.EntryKind_ENTRY_KIND_PURGED: // events that were removed alone are no state
			purged := new(roompb.Purged)
			if err := proto.Unmarshal(r.Body, purged); err != nil {
				logx.WithContext(ctx).Errorf("skip entry %d of the room log's shard %d: %v", r.Position, r.Shard, err)
			}
			c.gone = c.gone || purged.GetRoom()
			matters = c.gone
		}
		if matters {
			changes[r.Name] = c
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return func(ctx context.Context, tx store.Tx) error { return writeRooms(ctx, tx, p.Shard, changes) }, nil
}

// add takes in an event and tells whether it matters to the directory. What is in the log was allowed by the room's rules.
func (c *roomChange) add(r eventlog.Record) bool {
	fields := gjson.GetManyBytes(r.Doc, "type", "state_key", "content")
	typ, key, content := fields[0].String(), fields[1], fields[2]
	if !key.Exists() {
		return false
	}
	set := func(to **bool, is bool) bool {
		if key.String() != "" {
			return false
		}
		*to = &is
		return true
	}
	switch typ {
	case event.TypeMember:
		c.joined[key.String()] = content.Get("membership").String() == string(event.Join)
		return true
	case event.TypeJoinRules:
		return set(&c.joinPublic, content.Get("join_rule").String() == "public")
	case event.TypeHistoryVisibility:
		return set(&c.worldReadable, content.Get("history_visibility").String() == "world_readable")
	}
	return false
}

// writeRooms writes what has changed of rooms of a shard.
func writeRooms(ctx context.Context, tx store.Tx, shard int, changes map[string]*roomChange) error {
	ids := slices.Sorted(maps.Keys(changes))
	stored, err := tx.Rooms(ctx, ids)
	if err != nil {
		return err
	}
	var members []store.Member
	var gone []string
	for _, id := range ids {
		if changes[id].gone {
			gone = append(gone, id)
			continue
		}
		before, known := stored[id]
		now, c := before, changes[id]
		now.RoomID = id
		if c.joinPublic != nil {
			now.JoinPublic = *c.joinPublic
		}
		if c.worldReadable != nil {
			now.WorldReadable = *c.worldReadable
		}
		if !known || now != before {
			if err := tx.SetRoom(ctx, shard, now, known, before.Public()); err != nil {
				return err
			}
		}
		for _, user := range slices.Sorted(maps.Keys(c.joined)) {
			members = append(members, store.Member{UserID: user, RoomID: id, Joined: c.joined[user], Public: now.Public()})
		}
	}
	if err := tx.ForgetRooms(ctx, gone); err != nil {
		return err
	}
	return tx.SetMembers(ctx, members)
}
