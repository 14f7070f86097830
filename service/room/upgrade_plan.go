package room

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/service/room/internal/state"
	"hongyan/service/room/internal/store"
)

// carriedTypes are the state events with an empty state key that an upgrade carries over as they are, besides power
// levels and join rules, which the new version may want otherwise.
var carriedTypes = [...]string{
	event.TypeServerACL, event.TypeEncryption, event.TypeName, event.TypeAvatar, event.TypeTopic, event.TypeGuestAccess,
	event.TypeHistoryVisibility, event.TypeCanonicalAlias, typeRetention,
}

// carriedBans and carriedChildren bound the bans and the rooms of a space that are carried over; the oldest are left behind.
const (
	carriedBans     = 5000
	carriedChildren = 5000
)

// carried is what a new room takes over from the one that it replaces.
type carried struct {
	// state are the events that are copied; bans those of banned users.
	state, bans []*event.Event
	joinRules   object
	levels      []byte
}

// planUpgrade plans the room of another version that replaces one.
func (s *Service) planUpgrade(ctx context.Context, q request, old *snapshot, body upgradeBody) (*roomPlan, error) {
	p := &roomPlan{
		creator: q.user, device: q.DeviceID, visibility: private, rules: event.RoomVersion(*body.NewVersion).Rules(),
		carried: &carried{},
	}
	creation := object{}
	was, err := parseObject(old.state.Event(event.TypeCreate).Content())
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"type", "m.federate"} {
		if value, ok := was[key]; ok {
			creation[key] = value
		}
	}
	predecessor := map[string]string{"room_id": string(old.roomID)}
	if !p.rules.RoomIDFromCreate && len(old.prev) > 0 {
		predecessor["event_id"] = string(old.prev[0])
	}
	creation.set("predecessor", predecessor)
	if p.rules.InfiniteCreators && len(body.AdditionalCreators) > 0 {
		creation["additional_creators"] = body.AdditionalCreators
	}
	raw, err := json.Marshal(creation)
	if err != nil {
		return nil, matrix.Internal(err)
	}
	if p.creation, err = p.creationContent(raw); err != nil {
		return nil, err
	}
	return p, p.carryFrom(ctx, s, old)
}

// carryFrom reads what the new room takes over.
func (p *roomPlan) carryFrom(ctx context.Context, s *Service, old *snapshot) error {
	events, err := s.reads.store.State(ctx, old.stream.ID, old.stream.Seq, store.Selection{Keys: old.carriedKeys()})
	if err != nil {
		return matrix.Unavailable(err)
	}
	for _, stored := range events {
		ev, err := event.ParseWithID(old.rules.Version, matrix.EventID(stored.ID), stored.PDU)
		if err != nil {
			return matrix.Internal(fmt.Errorf("upgrade %s: %w", old.roomID, err))
		}
		switch ev.Type() {
		case event.TypeMember:
			p.carried.bans = append(p.carried.bans, ev)
		case event.TypeJoinRules:
			if p.carried.joinRules, err = p.newJoinRules(ev); err != nil {
				return err
			}
		default:
			p.carried.state = append(p.carried.state, ev)
		}
	}
	p.carried.levels, err = p.newLevels(old)
	return err
}

// carriedKeys are the places of the old room's state that matter to the new one.
func (s *snapshot) carriedKeys() []store.Key {
	keys := []store.Key{{Type: event.TypeJoinRules}}
	for _, typ := range carriedTypes {
		keys = append(keys, store.Key{Type: typ})
	}
	if s.auth.create.RoomType == "m.space" {
		var children []*state.Entry
		for e := range s.state.Entries() {
			if e.Type == event.TypeSpaceChild {
				children = append(children, e)
			}
		}
		slices.SortFunc(children, func(a, b *state.Entry) int { return int(b.Seq - a.Seq) })
		for _, e := range children[:min(len(children), carriedChildren)] {
			keys = append(keys, store.Key{Type: e.Type, StateKey: e.Key})
		}
	}
	var banned []*state.Member
	for m := range s.state.Members() {
		if m.Membership == state.Ban {
			banned = append(banned, m)
		}
	}
	slices.SortFunc(banned, func(a, b *state.Member) int { return int(b.Seq - a.Seq) })
	for _, m := range banned[:min(len(banned), carriedBans)] {
		keys = append(keys, store.Key{Type: event.TypeMember, StateKey: m.UserID})
	}
	return keys
}

// newJoinRules are join rules whose rule the new version knows.
func (p *roomPlan) newJoinRules(ev *event.Event) (object, error) {
	o, err := parseObject(ev.Content())
	if err != nil {
		return nil, err
	}
	rule := event.JoinRule(o.str("join_rule"))
	if rule == event.JoinRuleKnockRestricted && !p.rules.KnockRestricted {
		rule = event.JoinRuleRestricted
	}
	if rule == event.JoinRuleRestricted && !p.rules.Restricted || rule == event.JoinRuleKnock && !p.rules.Knocking {
		rule = event.JoinRuleInvite
	}
	o.set("join_rule", rule)
	return o, nil
}

// newLevels are the old room's power levels as the new version wants them.
func (p *roomPlan) newLevels(old *snapshot) ([]byte, error) {
	o, err := old.levelContent(old.state.Event(event.TypePowerLevels))
	if err != nil {
		return nil, err
	}
	most := int64(100)
	for key, value := range o {
		switch key {
		case "users", "events", "notifications":
			entries, err := parseObject(value)
			if err != nil {
				return nil, err
			}
			for k, v := range entries {
				entries[k] = p.level(v, &most)
			}
			o.set(key, entries)
		case "users_default", "events_default", "state_default", "ban", "redact", "kick", "invite":
			o[key] = p.level(value, &most)
		}
	}
	if err := p.newUsers(o, old, most); err != nil {
		return nil, err
	}
	return o.canonical()
}

// level returns a power level as the new version wants it: an integer. most becomes the greatest.
func (p *roomPlan) level(value json.RawMessage, most *int64) json.RawMessage {
	text := strings.TrimSpace(strings.Trim(string(value), `"`))
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return value
	}
	n = min(max(n, canonicaljson.MinInt), canonicaljson.MaxInt)
	*most = max(*most, n)
	if !p.rules.IntegerPowerLevels {
		return value
	}
	return strconv.AppendInt(nil, n, 10)
}

// newUsers takes out of "users" who creates the new room, and puts in who lost the infinite power of having created the
// old one.
func (p *roomPlan) newUsers(o object, old *snapshot, most int64) error {
	users := object{}
	if raw, ok := o["users"]; ok {
		var err error
		if users, err = parseObject(raw); err != nil {
			return err
		}
	}
	if !p.rules.InfiniteCreators {
		for _, user := range old.auth.create.Creators {
			users.set(string(user), most)
		}
	} else {
		creation, err := parseObject(p.creation)
		if err != nil {
			return err
		}
		var creators []string
		if raw, ok := creation["additional_creators"]; ok {
			if err := json.Unmarshal(raw, &creators); err != nil {
				return matrix.Internal(err)
			}
		}
		for _, user := range append(creators, string(p.creator)) {
			delete(users, user)
		}
	}
	o.set("users", users)
	return nil
}

// apply adds what is carried over behind the creator's join. The power levels come last: before them the creator may do
// everything, whatever the old room's levels say.
func (c *carried) apply(ctx context.Context, p *roomPlan, w *working) error {
	for _, ev := range c.state {
		if ev.Type() == event.TypeSpaceChild && string(ev.ContentValue("via")) == "" {
			continue // taken out of the space
		}
		// Added as it was: what its type needs was checked then.
		key := ev.StateKeyValue()
		if _, err := w.add(ctx, draft{sender: p.creator, typ: ev.Type(), key: &key, content: ev.Content(), device: p.device}); err != nil {
			return err
		}
	}
	for _, ev := range c.bans {
		change := memberChange{sender: p.creator, target: matrix.UserID(ev.StateKeyValue()), to: event.Ban, content: object{}, device: p.device}
		if reason := ev.ContentValue("reason"); reason != nil {
			change.content["reason"] = reason
		}
		if w.auth.create.IsCreator(change.target) {
			continue // nobody can ban who creates the room
		}
		if _, err := w.setMember(ctx, change); err != nil {
			return err
		}
	}
	if c.joinRules != nil {
		content, err := c.joinRules.canonical()
		if err != nil {
			return err
		}
		if _, err := w.add(ctx, p.draft(event.TypeJoinRules, content)); err != nil {
			return err
		}
	}
	_, err := w.addState(ctx, p.draft(event.TypePowerLevels, c.levels))
	return err
}
