package auth

import (
	"math"
	"strconv"
	"strings"

	"hongyan/matrix"
	"hongyan/matrix/internal/rawjson"
)

// CreatorLevel is the power level of those whose power is infinite.
const CreatorLevel = math.MaxInt64

// The levels where a room does not say (client-server API, "m.room.power_levels").
const (
	defaultModeration   = 50 // ban, kick, redact, state, notifications
	defaultCreatorLevel = 100
)

// PowerLevels is the power in a room, read once from the m.room.power_levels event together with
// the create event, with defaults for what they leave out. It does not change.
type PowerLevels struct {
	// Ban, Kick, Redact and Invite are the levels needed for these.
	Ban, Kick, Redact, Invite int64
	// UsersDefault, EventsDefault and StateDefault are the levels of users and events without an entry.
	UsersDefault, EventsDefault, StateDefault int64

	create        *Create
	users         map[matrix.UserID]int64
	events        map[string]int64
	notifications map[string]int64
	present       levelSet
	noEvent       bool
}

// levelSet has a bit for each of the levels in levelNames that an event states.
type levelSet uint8

// levelNames are the properties which hold one level each.
var levelNames = [...]string{"users_default", "events_default", "state_default", "ban", "redact", "kick", "invite"}

// level returns a pointer to the level that belongs to levelNames[i].
func (p *PowerLevels) level(i int) *int64 {
	return [...]*int64{&p.UsersDefault, &p.EventsDefault, &p.StateDefault, &p.Ban, &p.Redact, &p.Kick, &p.Invite}[i]
}

// DefaultPowerLevels is the power in a room without an m.room.power_levels event.
func DefaultPowerLevels(create *Create) *PowerLevels {
	p := newPowerLevels(create)
	p.noEvent = true
	if !create.Rules.InfiniteCreators && create.Creator != "" {
		p.users = map[matrix.UserID]int64{create.Creator: defaultCreatorLevel}
	}
	return p
}

func newPowerLevels(create *Create) *PowerLevels {
	return &PowerLevels{
		Ban: defaultModeration, Kick: defaultModeration, Redact: defaultModeration,
		StateDefault: defaultModeration, create: create,
	}
}

// ParsePowerLevels reads the content of an m.room.power_levels event. Versions up to 9 also
// accept integers written as strings. What is malformed is M_BAD_JSON, and named in the message.
func ParsePowerLevels(create *Create, content []byte) (*PowerLevels, error) {
	p := newPowerLevels(create)
	strict := create.Rules.IntegerPowerLevels
	for it := rawjson.Object(content); it.Next(); {
		var err error
		switch key := string(it.Key); key {
		case "users":
			p.users, err = parseUsers(it.Value, strict)
		case "events":
			p.events, err = parseLevels[string](key, it.Value, strict)
		case "notifications":
			p.notifications, err = parseLevels[string](key, it.Value, strict)
		default:
			err = p.parseLevel(key, it.Value, strict)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *PowerLevels) parseLevel(key string, value []byte, strict bool) error {
	for i, name := range levelNames {
		if name != key {
			continue
		}
		n, ok := parseLevel(value, strict)
		if !ok {
			return badLevel(key)
		}
		*p.level(i) = n
		p.present |= 1 << i
	}
	return nil
}

func parseUsers(value []byte, strict bool) (map[matrix.UserID]int64, error) {
	users, err := parseLevels[matrix.UserID]("users", value, strict)
	for user := range users {
		if _, err := matrix.ParseUserID(string(user)); err != nil {
			return nil, matrix.Errorf(matrix.CodeBadJSON, "The power levels are invalid: users has something that is not a user id.")
		}
	}
	return users, err
}

func parseLevels[K ~string](name string, value []byte, strict bool) (map[K]int64, error) {
	if !rawjson.IsObject(value) {
		return nil, matrix.Errorf(matrix.CodeBadJSON, "The power levels are invalid: %s is not an object.", name)
	}
	levels := map[K]int64{}
	for it := rawjson.Object(value); it.Next(); {
		n, ok := parseLevel(it.Value, strict)
		if !ok {
			return nil, badLevel(name + "." + rawjson.Key(it.Key))
		}
		levels[K(rawjson.Key(it.Key))] = n
	}
	return levels, nil
}

func parseLevel(value []byte, strict bool) (int64, bool) {
	if n, ok := rawjson.Int(value); ok || strict {
		return n, ok
	}
	s, ok := rawjson.String(value)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	return n, err == nil
}

func badLevel(name string) error {
	return matrix.Errorf(matrix.CodeBadJSON, "The power levels are invalid: %s is not an integer.", name)
}

// UserLevel is the level of a user.
func (p *PowerLevels) UserLevel(user matrix.UserID) int64 {
	if len(p.create.Creators) > 0 && p.create.IsCreator(user) {
		return CreatorLevel
	}
	if n, ok := p.users[user]; ok {
		return n
	}
	return p.UsersDefault
}

// EventLevel is the level needed to send events of a type.
func (p *PowerLevels) EventLevel(eventType string, isState bool) int64 {
	if n, ok := p.events[eventType]; ok {
		return n
	}
	if isState {
		return p.StateDefault
	}
	return p.EventsDefault
}

// Notification is the level needed for a kind of notification, such as "room".
func (p *PowerLevels) Notification(key string) int64 {
	if n, ok := p.notifications[key]; ok {
		return n
	}
	return defaultModeration
}

// Notifications are the levels needed for kinds of notifications of which the room says that. They must not be changed.
func (p *PowerLevels) Notifications() map[string]int64 { return p.notifications }

// CanSend tells whether a user's level suffices for events of a type. Membership events go by
// other rules.
func (p *PowerLevels) CanSend(user matrix.UserID, eventType string, isState bool) bool {
	return p.UserLevel(user) >= p.EventLevel(eventType, isState)
}

// CanNotify tells whether a user's level suffices for a kind of notification, such as "room".
func (p *PowerLevels) CanNotify(user matrix.UserID, key string) bool {
	return p.UserLevel(user) >= p.Notification(key)
}

// CanRedact tells whether a user may redact what another, or the same, sent; besides, they must
// be able to send m.room.redaction.
func (p *PowerLevels) CanRedact(user, sender matrix.UserID) bool {
	return user == sender || p.UserLevel(user) >= p.Redact
}

// IsDefault tells whether the room has no m.room.power_levels event.
func (p *PowerLevels) IsDefault() bool { return p.noEvent }

// Users calls f for every user with a level of their own, in no order, until f returns false.
func (p *PowerLevels) Users(f func(matrix.UserID, int64) bool) {
	for user, level := range p.users {
		if !f(user, level) {
			return
		}
	}
}
