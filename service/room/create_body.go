package room

import (
	"encoding/json"
	"slices"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
)

// createBody is the body of POST /createRoom.
type createBody struct {
	Visibility    string          `json:"visibility"`
	AliasName     *string         `json:"room_alias_name"`
	Name          *string         `json:"name"`
	Topic         *string         `json:"topic"`
	Invite        []string        `json:"invite"`
	Invite3PID    []addressBody   `json:"invite_3pid"`
	RoomVersion   *string         `json:"room_version"`
	Creation      json.RawMessage `json:"creation_content"`
	InitialState  []initialState  `json:"initial_state"`
	Preset        string          `json:"preset"`
	IsDirect      bool            `json:"is_direct"`
	PowerOverride json.RawMessage `json:"power_level_content_override"`
}

// initialState is an element of initial_state.
type initialState struct {
	Type     string          `json:"type"`
	StateKey string          `json:"state_key"`
	Content  json.RawMessage `json:"content"`
}

// Presets of createRoom.
const (
	presetPrivate = "private_chat"
	presetTrusted = "trusted_private_chat"
	presetPublic  = "public_chat"
)

// planRoom checks a body and decides everything that does not depend on the room's id.
func (s *Service) planRoom(q request, b createBody) (*roomPlan, error) {
	p := &roomPlan{creator: q.user, device: q.DeviceID, name: b.Name, topic: b.Topic, direct: b.IsDirect}
	var err error
	if p.visibility, p.preset, err = b.kind(); err != nil {
		return nil, err
	}
	version := event.RoomVersion(s.cfg.DefaultVersion)
	if b.RoomVersion != nil {
		if version, err = event.ParseVersion(*b.RoomVersion); err != nil {
			return nil, err
		}
	}
	p.rules = version.Rules()
	if p.invites, err = s.invitees(q, b.Invite); err != nil {
		return nil, err
	}
	if b.AliasName != nil {
		if p.alias, err = s.newAliasName(*b.AliasName); err != nil {
			return nil, err
		}
	}
	if p.creation, err = p.creationContent(b.Creation); err != nil {
		return nil, err
	}
	if p.powerLevels, err = p.powerLevelContent(b.PowerOverride); err != nil {
		return nil, err
	}
	p.initial, err = p.initialDrafts(b.InitialState)
	return p, err
}

// kind returns the visibility and the preset that it implies unless one is named.
func (b createBody) kind() (visibility, preset string, err error) {
	switch visibility, preset = b.Visibility, b.Preset; visibility {
	case "":
		visibility = private
	case private, public:
	default:
		return "", "", matrix.NewError(matrix.CodeInvalidParam, "\"visibility\" must be public or private.")
	}
	switch preset {
	case presetPrivate, presetTrusted, presetPublic:
	case "":
		preset = presetPrivate
		if visibility == public {
			preset = presetPublic
		}
	default:
		return "", "", matrix.Errorf(matrix.CodeInvalidParam, "There is no preset %q.", shorten(preset))
	}
	return visibility, preset, nil
}

// invitees checks the users to invite; each is invited once.
func (s *Service) invitees(q request, ids []string) ([]matrix.UserID, error) {
	if len(ids) > s.cfg.MaxInvites {
		return nil, matrix.Errorf(matrix.CodeInvalidParam, "At most %d users can be invited at once.", s.cfg.MaxInvites)
	}
	users := make([]matrix.UserID, 0, len(ids))
	for _, id := range ids {
		user, err := matrix.ParseUserID(id)
		if err != nil {
			return nil, err
		}
		if user == q.user {
			return nil, matrix.NewError(matrix.CodeForbidden, "You cannot invite yourself.")
		}
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users, nil
}

// newAliasName makes the alias of a local part.
func (s *Service) newAliasName(name string) (string, error) {
	if strings.Contains(name, ":") || strings.HasPrefix(name, "#") {
		return "", matrix.NewError(matrix.CodeInvalidParam, "\"room_alias_name\" is the part of the alias between # and :.")
	}
	alias := string(matrix.NewRoomAlias(name, s.server))
	return alias, s.checkOwnAlias(alias)
}

// creationContent is the content of m.room.create.
func (p *roomPlan) creationContent(raw json.RawMessage) ([]byte, error) {
	o, err := optionalObject(raw, "creation_content")
	if err != nil {
		return nil, err
	}
	delete(o, "creator")
	if p.rules.CreatorInContent {
		o.set("creator", p.creator)
	}
	o.set("room_version", p.rules.Version)
	if v, ok := o["m.federate"]; ok && string(v) != "true" && string(v) != "false" {
		return nil, matrix.NewError(matrix.CodeBadJSON, "\"m.federate\" must be true or false.")
	}
	if p.rules.InfiniteCreators {
		if err := p.addCreators(o); err != nil {
			return nil, err
		}
	}
	return o.canonical()
}

// addCreators checks additional_creators. A trusted private chat makes the invited users creators too.
func (p *roomPlan) addCreators(o object) error {
	var named []string
	if raw, ok := o["additional_creators"]; ok {
		if string(raw) == "null" || json.Unmarshal(raw, &named) != nil {
			return matrix.NewError(matrix.CodeBadJSON, "\"additional_creators\" must be a list of user ids.")
		}
		for _, id := range named {
			if _, err := matrix.ParseUserID(id); err != nil {
				return err
			}
		}
	}
	if p.preset != presetTrusted {
		return nil
	}
	for _, user := range p.invites {
		named = append(named, string(user))
	}
	seen := make(map[string]bool, len(named))
	named = slices.DeleteFunc(named, func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
	if len(named) > 0 {
		o.set("additional_creators", named)
	}
	return nil
}

// initialDrafts checks initial_state and leaves out what name and topic replace.
func (p *roomPlan) initialDrafts(list []initialState) ([]draft, error) {
	drafts := make([]draft, 0, len(list))
	for i, st := range list {
		switch {
		case st.Type == "":
			return nil, matrix.Errorf(matrix.CodeBadJSON, "initial_state[%d] has no type.", i)
		case st.Type == event.TypeCreate:
			return nil, errCreateAgain()
		case len(st.Content) == 0:
			return nil, matrix.Errorf(matrix.CodeBadJSON, "initial_state[%d] has no content.", i)
		}
		content, err := canonicaljson.CanonicalizeObject(st.Content)
		if err != nil {
			return nil, err
		}
		if st.StateKey == "" && (st.Type == event.TypeName && p.name != nil || st.Type == event.TypeTopic && p.topic != nil) {
			continue
		}
		drafts = append(drafts, draft{
			sender: p.creator, typ: st.Type, key: &list[i].StateKey, content: content, device: p.device,
		})
	}
	return drafts, nil
}

// optionalObject reads a member of a body that may be missing or null.
func optionalObject(raw json.RawMessage, name string) (object, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return object{}, nil
	}
	content, err := canonicaljson.Canonicalize(raw)
	if err != nil {
		return nil, err
	}
	if content[0] != '{' {
		return nil, matrix.Errorf(matrix.CodeBadJSON, "%q must be an object.", name)
	}
	return parseObject(content)
}
