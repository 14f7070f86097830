package auth_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
)

// TestChangeLevels: bob has level 50 and may send m.room.power_levels.
func TestChangeLevels(t *testing.T) {
	current := object{
		"users": object{string(bob): 50, string(carol): 50, string(dave): 10}, "ban": 60, "kick": 40, "state_default": 50,
		"events": object{"m.a": 50, "m.b": 60}, "notifications": object{"room": 50, "other": 60},
	}
	with := func(changes object) object {
		next := object{}
		for k, v := range current {
			next[k] = v
		}
		for k, v := range changes {
			if v == nil {
				delete(next, k)
			} else {
				next[k] = v
			}
		}
		return next
	}
	tests := map[string]struct {
		changes object
		refused string
	}{
		"nothing":                        {object{}, ""},
		"lower one's own":                {object{"users": object{string(bob): 0, string(carol): 50, string(dave): 10}}, ""},
		"remove oneself":                 {object{"users": object{string(carol): 50, string(dave): 10}}, ""},
		"raise oneself":                  {object{"users": object{string(bob): 51, string(carol): 50, string(dave): 10}}, "users.@bob"},
		"raise a lower one to one's own": {object{"users": object{string(bob): 50, string(carol): 50, string(dave): 50}}, ""},
		"raise a lower one above":        {object{"users": object{string(bob): 50, string(carol): 50, string(dave): 51}}, "users.@dave"},
		"add someone":                    {object{"users": object{string(bob): 50, string(carol): 50, string(dave): 10, "@x:y": 50}}, ""},
		"add someone above":              {object{"users": object{string(bob): 50, string(carol): 50, string(dave): 10, "@x:y": 51}}, "users.@x:y"},
		"lower an equal":                 {object{"users": object{string(bob): 50, string(carol): 49, string(dave): 10}}, "users.@carol"},
		"remove an equal":                {object{"users": object{string(bob): 50, string(dave): 10}}, "users.@carol"},
		"drop users":                     {object{"users": nil}, "users.@carol"},
		"raise kick":                     {object{"kick": 50}, ""},
		"raise kick above":               {object{"kick": 51}, "kick"},
		"lower ban":                      {object{"ban": 50}, "ban"},
		"drop ban":                       {object{"ban": nil}, "ban"},
		"drop kick":                      {object{"kick": nil}, ""},
		"add redact":                     {object{"redact": 50}, ""},
		"add redact above":               {object{"redact": 51}, "redact"},
		"add users_default":              {object{"users_default": 10}, ""},
		"change an event":                {object{"events": object{"m.a": 0, "m.b": 60}}, ""},
		"change an event above":          {object{"events": object{"m.a": 50, "m.b": 0}}, "events.m.b"},
		"remove an event above":          {object{"events": object{"m.a": 50}}, "events.m.b"},
		"drop events":                    {object{"events": nil}, "events.m.b"},
		"add an event":                   {object{"events": object{"m.a": 50, "m.b": 60, "m.c": 50}}, ""},
		"add an event above":             {object{"events": object{"m.a": 50, "m.b": 60, "m.c": 51}}, "events.m.c"},
		"raise an event above":           {object{"events": object{"m.a": 51, "m.b": 60}}, "events.m.a"},
		"change a notification":          {object{"notifications": object{"room": 0, "other": 60}}, ""},
		"change a notification above":    {object{"notifications": object{"room": 50, "other": 0}}, "notifications.other"},
		"raise a notification above":     {object{"notifications": object{"room": 51, "other": 60}}, "notifications.room"},
		"other keys":                     {object{"org.example": "x"}, ""},
	}
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				r := newRoom(t, v, nil).member(alice, event.Join).member(bob, event.Join).levels(current)
				err := r.allowed(r.build(bob, event.TypePowerLevels, key0(""), with(tt.changes)))
				guarded := v.Rules().NotificationLevels || !strings.HasPrefix(tt.refused, "notifications")
				if tt.refused == "" || !guarded {
					requireAllowed(t, err)
				} else {
					requireForbidden(t, err, "cannot change "+tt.refused)
				}
				if v.Rules().InfiniteCreators {
					requireAllowed(t, r.allowed(r.build(alice, event.TypePowerLevels, key0(""), with(tt.changes))))
				}
			})
		}
	})
}

func TestMalformedLevels(t *testing.T) {
	tests := map[string]struct {
		content object
		strict  bool // accepted before version 10
	}{
		"users no object":         {object{"users": []any{}}, false},
		"users null":              {object{"users": nil}, false},
		"not a user":              {object{"users": object{"bob": 1}}, false},
		"user not an integer":     {object{"users": object{string(bob): true}}, false},
		"user a word":             {object{"users": object{string(bob): "x"}}, false},
		"user a string":           {object{"users": object{string(bob): " +050 "}}, true},
		"ban a string":            {object{"ban": "50"}, true},
		"ban null":                {object{"ban": nil}, false},
		"ban an object":           {object{"ban": object{}}, false},
		"events a list":           {object{"events": []any{}}, false},
		"event a string":          {object{"events": object{"m.a": "-1"}}, true},
		"notification a string":   {object{"notifications": object{"room": "50"}}, true},
		"notifications no object": {object{"notifications": 1}, false},
		"string with a fraction":  {object{"kick": "1.5"}, false},
	}
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				r := newRoom(t, v, nil).member(alice, event.Join)
				err := r.allowed(r.build(alice, event.TypePowerLevels, key0(""), tt.content))
				if tt.strict && !v.Rules().IntegerPowerLevels {
					requireAllowed(t, err)
				} else {
					requireForbidden(t, err, "The power levels are invalid")
				}
			})
		}
	})
}

func TestCreatorsAreNotListed(t *testing.T) {
	r := newRoom(t, event.V12, object{"additional_creators": []any{string(bob)}}).member(alice, event.Join).member(bob, event.Join)
	for _, user := range []matrix.UserID{alice, bob} {
		requireForbidden(t, r.allowed(r.build(alice, event.TypePowerLevels, key0(""), object{"users": object{string(user): 100}})), "must not list")
	}
	requireAllowed(t, r.allowed(r.build(bob, event.TypePowerLevels, key0(""), object{"users": object{string(carol): 100}, "ban": 1 << 40})))
}

func TestLevels(t *testing.T) {
	r := newRoom(t, event.V11, nil)
	create := r.provider().Create()
	p := auth.DefaultPowerLevels(create)
	require.True(t, p.IsDefault())
	require.Equal(t, []int64{100, 0, 50, 0, 50}, []int64{p.UserLevel(alice), p.UserLevel(bob), p.EventLevel("m.x", true), p.EventLevel("m.x", false), p.Notification("room")})
	require.Equal(t, []int64{50, 50, 50, 0}, []int64{p.Ban, p.Kick, p.Redact, p.Invite})

	p, err := auth.ParsePowerLevels(create, []byte(`{"ban":1,"events":{"m.a":7},"events_default":2,"invite":3,"kick":4,"notifications":{"room":8},"redact":5,"state_default":6,"users":{"@bob:example.org":9},"users_default":10}`))
	require.NoError(t, err)
	require.False(t, p.IsDefault())
	require.Equal(t, []int64{1, 4, 5, 3}, []int64{p.Ban, p.Kick, p.Redact, p.Invite})
	require.Equal(t, []int64{9, 10}, []int64{p.UserLevel(bob), p.UserLevel(alice)})
	require.Equal(t, []int64{7, 7, 6, 2}, []int64{p.EventLevel("m.a", true), p.EventLevel("m.a", false), p.EventLevel("m.b", true), p.EventLevel("m.b", false)})
	require.Equal(t, []int64{8, 50}, []int64{p.Notification("room"), p.Notification("x")})
	require.True(t, p.CanSend(bob, "m.a", false))
	require.False(t, auth.DefaultPowerLevels(create).CanSend(bob, "m.a", true))
	require.True(t, p.CanNotify(bob, "room"))
	require.True(t, p.CanRedact(bob, carol))
	require.False(t, auth.DefaultPowerLevels(create).CanRedact(bob, carol))
	require.True(t, auth.DefaultPowerLevels(create).CanRedact(bob, bob))
	seen := map[matrix.UserID]int64{}
	p.Users(func(user matrix.UserID, level int64) bool { seen[user] = level; return true })
	require.Equal(t, map[matrix.UserID]int64{bob: 9}, seen)
}

func TestCreatorsHaveInfinitePower(t *testing.T) {
	r := newRoom(t, event.V12, object{"additional_creators": []any{string(bob)}}).member(alice, event.Join).member(bob, event.Join).member(carol, event.Join)
	r.levels(object{"users": object{string(carol): 1 << 50}, "state_default": 1 << 51})
	create := r.provider().Create()
	require.True(t, create.IsCreator(alice) && create.IsCreator(bob) && !create.IsCreator(carol))
	requireAllowed(t, r.allowed(r.build(bob, "m.room.topic", key0(""), object{})))
	requireForbidden(t, r.allowed(r.build(carol, "m.room.topic", key0(""), object{})), "power level")
	requireAllowed(t, r.allowed(r.change(bob, carol, event.Leave)))
	requireForbidden(t, r.allowed(r.change(carol, bob, event.Leave)), "not below yours")
	requireForbidden(t, r.allowed(r.change(bob, alice, event.Ban)), "not below yours")
	require.Zero(t, auth.DefaultPowerLevels(create).UserLevel(carol))
	require.EqualValues(t, auth.CreatorLevel, auth.DefaultPowerLevels(create).UserLevel(bob))
}

func TestNewCreateAndMap(t *testing.T) {
	r := newRoom(t, event.V10, object{"type": "m.space", "creator": string(bob)}).member(bob, event.Join)
	c := r.provider().Create()
	require.Equal(t, "m.space", c.RoomType)
	require.True(t, c.Federate)
	require.Equal(t, bob, c.Creator)
	require.Equal(t, alice, c.Sender)
	_, err := auth.NewCreate(r.state[1])
	require.Error(t, err)
	empty, err := auth.NewMap()
	require.NoError(t, err)
	require.Nil(t, empty.Create())
	require.Equal(t, event.JoinRuleInvite, empty.JoinRule())
	r.set(alice, event.TypePowerLevels, "", object{"ban": "x"})
	_, err = auth.NewMap(r.state...)
	require.Error(t, err)
	require.Nil(t, empty.Event(auth.Key{}))
}
