package room

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"hongyan/api/identity"
	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
)

// roomPlan is a room that is to be created.
type roomPlan struct {
	rules              *event.Rules
	creator            matrix.UserID
	device             string
	visibility, preset string
	// alias is the whole alias, "" for none.
	alias                 string
	creation, powerLevels []byte
	initial               []draft
	name, topic           *string
	invites               []matrix.UserID
	direct                bool
	profiles              map[matrix.UserID]*identitypb.Profile
	// blocked are those who take no invites.
	blocked map[matrix.UserID]bool
	// carried is what the room takes over from the one that it replaces, in place of all that; nil for other rooms.
	carried *carried
}

// eventLevels are the levels of state events that need another one than stateDefault, the room's state_default.
func (p *roomPlan) eventLevels(stateDefault int64) map[string]int64 {
	levels := map[string]int64{
		event.TypePowerLevels:       100,
		event.TypeHistoryVisibility: 100,
		event.TypeTombstone:         100,
		event.TypeServerACL:         100,
		event.TypeEncryption:        100,
		event.TypeName:              50,
		event.TypeAvatar:            50,
		event.TypeCanonicalAlias:    50,
	}
	if p.rules.InfiniteCreators {
		// Only for creators, and always above state_default.
		levels[event.TypeTombstone] = min(max(150, stateDefault+1), canonicaljson.MaxInt)
	}
	return levels
}

// powerLevelContent is the content of the first m.room.power_levels: the defaults, and over them what the body says.
func (p *roomPlan) powerLevelContent(override json.RawMessage) ([]byte, error) {
	users := map[matrix.UserID]int64{}
	if !p.rules.InfiniteCreators {
		users[p.creator] = 100
		if p.preset == presetTrusted {
			for _, user := range p.invites {
				users[user] = 100
			}
		}
	}
	invite := int64(0)
	if p.preset == presetPublic {
		invite = 50
	}
	over, err := optionalObject(override, "power_level_content_override")
	if err != nil {
		return nil, err
	}
	stateDefault := int64(50)
	if raw, ok := over["state_default"]; ok && json.Unmarshal(raw, &stateDefault) != nil {
		stateDefault = 50 // what it is instead is refused with the event
	}
	o := object{}
	for key, value := range map[string]any{
		"users": users, "users_default": 0, "events": p.eventLevels(stateDefault), "events_default": 0, "state_default": 50,
		"ban": 50, "kick": 50, "redact": 50, "invite": invite,
	} {
		o.set(key, value)
	}
	maps.Copy(o, over)
	return o.canonical()
}

// readPeople reads what the member events say of the creator and the invited, and who takes no invites.
func (p *roomPlan) readPeople(ctx context.Context, s *Service) (err error) {
	if p.profiles, err = s.profiles(ctx, append([]matrix.UserID{p.creator}, p.invites...)...); err != nil {
		return err
	}
	invited := slices.Clone(p.invites)
	for _, d := range p.initial {
		if d.typ == event.TypeMember {
			invited = append(invited, matrix.UserID(*d.key))
		}
	}
	p.blocked, err = s.inviteBlocks(ctx, invited...)
	return err
}

// apply adds everything behind the create event, in the order that the specification gives.
func (p *roomPlan) apply(ctx context.Context, w *working) error {
	if err := p.checkAlias(ctx, w); err != nil {
		return err
	}
	if _, err := w.setMember(ctx, p.membership(p.creator, event.Join)); err != nil {
		return err
	}
	if p.carried != nil {
		return p.carried.apply(ctx, p, w)
	}
	for _, d := range p.drafts() {
		if err := p.addState(ctx, w, d); err != nil {
			return invalidState(err)
		}
	}
	for _, user := range p.invites {
		c := p.membership(user, event.Invite)
		if p.direct {
			c.content.set("is_direct", true)
		}
		if _, err := w.setMember(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// checkAlias refuses an alias that exists. One that is made meanwhile fails the append.
func (p *roomPlan) checkAlias(ctx context.Context, w *working) error {
	if p.alias == "" {
		return nil
	}
	_, taken, err := w.s.store.Alias(ctx, p.alias)
	if err != nil {
		return matrix.Unavailable(err)
	}
	if taken {
		return errRoomInUse(p.alias)
	}
	return nil
}

func (p *roomPlan) membership(target matrix.UserID, to event.Membership) memberChange {
	return memberChange{
		sender: p.creator, target: target, to: to, content: object{}, profile: p.profiles[target], device: p.device,
		blocked: p.blocked[target],
	}
}

func (p *roomPlan) addState(ctx context.Context, w *working, d draft) error {
	if d.typ != event.TypeMember {
		_, err := w.addState(ctx, d)
		return err
	}
	target, to, content, err := parseMember(*d.key, d.content)
	if err != nil {
		return err
	}
	_, err = w.setMember(ctx, memberChange{sender: p.creator, target: target, to: to, content: content, device: p.device, blocked: p.blocked[target]})
	return err
}

// drafts are the state events between the creator's join and the invites.
func (p *roomPlan) drafts() []draft {
	list := []draft{p.draft(event.TypePowerLevels, p.powerLevels)}
	if p.alias != "" {
		list = append(list, p.draftOf(event.TypeCanonicalAlias, "alias", p.alias))
	}
	for _, d := range p.presetDrafts() {
		if !p.isInitial(d.typ) {
			list = append(list, d)
		}
	}
	list = append(list, p.initial...)
	if p.name != nil {
		list = append(list, p.draftOf(event.TypeName, "name", *p.name))
	}
	if p.topic != nil {
		list = append(list, p.topicDraft(*p.topic))
	}
	return list
}

// presetDrafts is what a preset says.
func (p *roomPlan) presetDrafts() []draft {
	rule, guests := event.JoinRuleInvite, "can_join"
	if p.preset == presetPublic {
		rule, guests = event.JoinRulePublic, "forbidden"
	}
	return []draft{
		p.draftOf(event.TypeJoinRules, "join_rule", string(rule)),
		p.draftOf(event.TypeHistoryVisibility, "history_visibility", string(event.VisibilityShared)),
		p.draftOf(event.TypeGuestAccess, "guest_access", guests),
	}
}

// isInitial tells whether initial_state has the type with an empty state key.
func (p *roomPlan) isInitial(typ string) bool {
	for _, d := range p.initial {
		if d.typ == typ && *d.key == "" {
			return true
		}
	}
	return false
}

func (p *roomPlan) draft(typ string, content []byte) draft {
	return draft{sender: p.creator, typ: typ, key: new(string), content: content, device: p.device}
}

// draftOf is a state event whose content has one string.
func (p *roomPlan) draftOf(typ, key, value string) draft {
	return p.draft(typ, mustCanonical(map[string]string{key: value}))
}

// topicDraft writes the topic for clients of both kinds: as "topic", and as "m.topic" in plain text.
func (p *roomPlan) topicDraft(topic string) draft {
	return p.draft(event.TypeTopic, mustCanonical(map[string]any{
		"topic":   topic,
		"m.topic": map[string]any{"m.text": []any{map[string]string{"body": topic, "mimetype": "text/plain"}}},
	}))
}

// invalidState says that what the rules refuse within a new room is the request's fault.
func invalidState(err error) error {
	var e *matrix.Error
	if errors.As(err, &e) && e.Code == matrix.CodeForbidden {
		return matrix.NewError(matrix.CodeInvalidRoomState, e.Message).WithCause(err)
	}
	return err
}
