package auth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/event"
)

// forVersions runs a test in every room version from first on.
func forVersions(t *testing.T, first event.RoomVersion, f func(t *testing.T, v event.RoomVersion)) {
	started := false
	for _, v := range event.Versions() {
		if started = started || v == first; started {
			t.Run(string(v), func(t *testing.T) { f(t, v) })
		}
	}
}

func TestCreate(t *testing.T) {
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		rules := v.Rules()
		r := newRoom(t, v, nil)
		requireAllowed(t, r.allowed(r.create))
		id := r.id
		if rules.RoomIDFromCreate {
			r.id = ""
		}
		requireForbidden(t, r.allowed(r.build(alice, event.TypeCreate, key0(""), object{"creator": "x"}, nobody)), "first event")
		requireForbidden(t, r.allowed(r.build(alice, event.TypeCreate, key0(""), object{"creator": "x", "room_version": "99"})), "version is unknown")
		requireForbidden(t, r.allowed(r.build(alice, event.TypeCreate, key0(""), object{"creator": "x", "room_version": 6})), "version is unknown")
		if !rules.RoomIDFromCreate {
			requireForbidden(t, r.allowed(r.build(dave, event.TypeCreate, key0(""), object{"creator": "x"})), "another server")
		}
		err := r.allowed(r.build(alice, event.TypeCreate, key0(""), object{}))
		if rules.CreatorInContent {
			requireForbidden(t, err, "no creator")
		} else {
			requireAllowed(t, err)
		}
		r.id = id
	})
}

func TestCreateInVersion12(t *testing.T) {
	r := newRoom(t, event.V12, nil)
	r.id = ""
	for _, bad := range []any{"@bob:example.org", []any{1}, []any{"bob"}, nil, object{}, []any{string(bob), "@"}} {
		requireForbidden(t, r.allowed(r.build(alice, event.TypeCreate, key0(""), object{"additional_creators": bad})), "additional_creators")
	}
	for _, good := range []any{[]any{}, []any{string(bob), string(dave)}} {
		requireAllowed(t, r.allowed(r.build(alice, event.TypeCreate, key0(""), object{"additional_creators": good})))
	}
	withID, err := event.Parse(event.V12, []byte(`{"content":{},"depth":1,"prev_events":[],"room_id":"!x","sender":"@alice:example.org","state_key":"","type":"m.room.create"}`))
	require.NoError(t, err)
	requireForbidden(t, r.allowed(withID), "must not have a room id")
}

func TestRoomMustExist(t *testing.T) {
	r := newRoom(t, event.V12, nil).member(alice, event.Join)
	e := r.build(alice, "m.room.message", nil, object{})
	r.state = r.state[1:]
	requireForbidden(t, r.allowed(e), "does not exist")
	other := newRoom(t, event.V12, object{"type": "m.space"}).member(alice, event.Join)
	requireForbidden(t, other.allowed(e), "does not exist")
}

func TestFederate(t *testing.T) {
	r := newRoom(t, event.V11, object{"m.federate": false}).rule(event.JoinRulePublic)
	requireForbidden(t, r.allowed(r.change(dave, dave, event.Join)), "other servers")
	requireAllowed(t, r.allowed(r.change(bob, bob, event.Join)))
}

func TestFirstJoin(t *testing.T) {
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		r := newRoom(t, v, nil)
		join := func(user matrix.UserID, prev ...matrix.EventID) error {
			return r.allowed(r.build(user, event.TypeMember, key0(string(user)), object{"membership": "join"}, prev...))
		}
		requireAllowed(t, join(alice, r.create.ID()))
		requireForbidden(t, join(alice, nobody), "invitation")
		requireForbidden(t, join(alice, r.create.ID(), nobody), "invitation")
		requireForbidden(t, join(bob, r.create.ID()), "invitation")
	})
}

func TestMessages(t *testing.T) {
	r := newRoom(t, event.V11, nil).member(alice, event.Join).member(bob, event.Join).
		levels(object{"users": object{string(alice): 100}, "events": object{"m.quiet": 10}, "invite": 20})
	requireAllowed(t, r.allowed(r.build(bob, "m.room.message", nil, object{})))
	requireForbidden(t, r.allowed(r.build(carol, "m.room.message", nil, object{})), "not in the room")
	requireForbidden(t, r.allowed(r.build(bob, "m.quiet", nil, object{})), "power level 10 to send m.quiet, and have 0")
	requireForbidden(t, r.allowed(r.build(bob, "m.room.topic", key0(""), object{})), "power level 50")
	requireAllowed(t, r.allowed(r.build(alice, "m.room.topic", key0(""), object{})))
	requireForbidden(t, r.allowed(r.build(alice, "m.thing", key0(string(bob)), object{})), "your own user id")
	requireAllowed(t, r.allowed(r.build(alice, "m.thing", key0(string(alice)), object{})))
	requireAllowed(t, r.allowed(r.build(alice, "m.room.third_party_invite", key0("token"), object{})))
	requireForbidden(t, r.allowed(r.build(bob, "m.room.third_party_invite", key0("token"), object{})), "power level 20 to invite")
}

func TestMemberShape(t *testing.T) {
	r := newRoom(t, event.V11, nil).member(alice, event.Join)
	for name, e := range map[string]*event.Event{
		"no state key":  r.build(alice, event.TypeMember, nil, object{"membership": "join"}),
		"no membership": r.build(alice, event.TypeMember, key0(string(alice)), object{}),
		"not a string":  r.build(alice, event.TypeMember, key0(string(alice)), object{"membership": 1}),
	} {
		t.Run(name, func(t *testing.T) { requireForbidden(t, r.allowed(e), "state key and a membership") })
	}
	requireForbidden(t, r.allowed(r.change(alice, alice, "dance")), `"dance" is unknown`)
}

func TestRestrictedJoin(t *testing.T) {
	join := func(r *room, via any) error {
		content := object{"membership": "join"}
		if via != nil {
			content["join_authorised_via_users_server"] = via
		}
		return r.allowed(r.build(carol, event.TypeMember, key0(string(carol)), content, nobody))
	}
	for _, rule := range []event.JoinRule{event.JoinRuleRestricted, event.JoinRuleKnockRestricted} {
		forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
			r := newRoom(t, v, nil).member(alice, event.Join).member(bob, event.Join).member(dave, event.Join).rule(rule).
				levels(object{"users": object{string(dave): 100, string(bob): 10}, "invite": 50})
			known := rule == event.JoinRuleRestricted && v.Rules().Restricted || rule == event.JoinRuleKnockRestricted && v.Rules().KnockRestricted
			if !known {
				requireForbidden(t, join(r, string(alice)), "does not let anyone join")
				return
			}
			requireForbidden(t, join(r, nil), "need an invitation")
			requireForbidden(t, join(r, string(bob)), "need an invitation")
			requireForbidden(t, join(r, "@gone:example.org"), "need an invitation")
			requireForbidden(t, join(r, 1), "not signed")
			requireForbidden(t, join(r, string(dave)), "not signed")
			if v.Rules().InfiniteCreators {
				requireAllowed(t, join(r, string(alice)))
			}
			r.levels(object{"invite": 0})
			requireAllowed(t, join(r, string(bob)))
			r.member(carol, event.Invite)
			requireAllowed(t, join(r, nil))
			r.member(carol, event.Ban)
			requireForbidden(t, join(r, string(bob)), "banned")
		})
	}
}

func TestKnock(t *testing.T) {
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		r := newRoom(t, v, nil).member(alice, event.Join).rule(event.JoinRuleKnock)
		if !v.Rules().Knocking {
			requireForbidden(t, r.allowed(r.change(bob, bob, event.Knock)), "unknown")
			return
		}
		requireAllowed(t, r.allowed(r.change(bob, bob, event.Knock)))
		requireForbidden(t, r.allowed(r.change(alice, bob, event.Knock)), "on behalf")
		requireAllowed(t, r.member(bob, event.Knock).allowed(r.change(bob, bob, event.Knock)))
		requireAllowed(t, r.allowed(r.change(bob, bob, event.Leave)))
		requireForbidden(t, r.allowed(r.change(bob, bob, event.Join)), "invitation")
		requireForbidden(t, r.member(bob, event.Invite).allowed(r.change(bob, bob, event.Knock)), "already invited")
		requireForbidden(t, r.member(bob, event.Join).allowed(r.change(bob, bob, event.Knock)), "already in")
		requireForbidden(t, r.member(bob, event.Ban).allowed(r.change(bob, bob, event.Knock)), "banned")
		requireForbidden(t, r.rule(event.JoinRulePublic).allowed(r.change(carol, carol, event.Knock)), "does not accept knocking")
		err := r.rule(event.JoinRuleKnockRestricted).allowed(r.change(carol, carol, event.Knock))
		if v.Rules().KnockRestricted {
			requireAllowed(t, err)
		} else {
			requireForbidden(t, err, "does not accept knocking")
		}
	})
}

func TestModeration(t *testing.T) {
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		r := newRoom(t, v, nil).member(alice, event.Join).member(bob, event.Join).member(carol, event.Join).member(dave, event.Ban).
			levels(object{"users": object{string(bob): 50, string(carol): 50, string(dave): 0}, "ban": 60, "kick": 40})
		requireForbidden(t, r.allowed(r.change(bob, carol, event.Leave)), "not below yours")
		requireForbidden(t, r.allowed(r.change(bob, dave, event.Ban)), "power level 60 to ban")
		requireForbidden(t, r.allowed(r.change(bob, dave, event.Leave)), "power level 60 to unban")
		requireForbidden(t, r.allowed(r.change(bob, dave, event.Invite)), "banned")
		requireForbidden(t, r.allowed(r.change(bob, carol, event.Invite)), "already in")
		requireForbidden(t, r.allowed(r.change("@x:y", bob, event.Leave)), "not in the room")
		requireForbidden(t, r.allowed(r.change("@x:y", bob, event.Ban)), "not in the room")
		requireForbidden(t, r.allowed(r.change("@x:y", bob, event.Invite)), "not in the room")
		requireForbidden(t, r.allowed(r.change(dave, dave, event.Leave)), "banned")
		requireForbidden(t, r.allowed(r.change("@x:y", "@x:y", event.Leave)), "not in the room")
		requireForbidden(t, r.allowed(r.change(bob, carol, event.Join)), "on behalf")

		r.levels(object{"users": object{string(bob): 50, string(dave): 50}, "ban": 50, "kick": 50})
		requireForbidden(t, r.allowed(r.change(bob, dave, event.Leave)), "not below yours")
		r.levels(object{"users": object{string(bob): 50}, "ban": 50, "kick": 51})
		requireForbidden(t, r.allowed(r.change(bob, dave, event.Leave)), "power level 51 to remove")
		r.levels(object{"users": object{string(bob): 50}, "invite": 51})
		requireAllowed(t, r.allowed(r.change(bob, dave, event.Leave)))
		requireAllowed(t, r.allowed(r.change(bob, carol, event.Ban)))
		requireForbidden(t, r.allowed(r.change(bob, "@x:y", event.Invite)), "power level 51 to invite")
	})
}

func TestSelection(t *testing.T) {
	content := func(v any) []byte { return marshal(t, v) }
	tests := map[string]struct {
		p    event.Proto
		want []auth.Key
	}{
		"create":  {event.Proto{Type: event.TypeCreate, StateKey: key0("")}, nil},
		"message": {event.Proto{Type: "m.room.message"}, []auth.Key{{"m.room.power_levels", ""}, {"m.room.member", string(bob)}}},
		"leave": {event.Proto{Type: event.TypeMember, StateKey: key0(string(carol)), Content: content(object{"membership": "leave"})},
			[]auth.Key{{"m.room.power_levels", ""}, {"m.room.member", string(bob)}, {"m.room.member", string(carol)}}},
		"own join": {event.Proto{Type: event.TypeMember, StateKey: key0(string(bob)), Content: content(object{"membership": "join"})},
			[]auth.Key{{"m.room.power_levels", ""}, {"m.room.member", string(bob)}, {"m.room.join_rules", ""}}},
		"restricted join": {event.Proto{Type: event.TypeMember, StateKey: key0(string(bob)), Content: content(object{"membership": "join", "join_authorised_via_users_server": alice})},
			[]auth.Key{{"m.room.power_levels", ""}, {"m.room.member", string(bob)}, {"m.room.join_rules", ""}, {"m.room.member", string(alice)}}},
		"third-party invite": {event.Proto{Type: event.TypeMember, StateKey: key0(string(carol)), Content: content(object{"membership": "invite", "third_party_invite": object{"signed": object{"token": "tok"}}})},
			[]auth.Key{{"m.room.power_levels", ""}, {"m.room.member", string(bob)}, {"m.room.member", string(carol)}, {"m.room.join_rules", ""}, {"m.room.third_party_invite", "tok"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.p.Sender, tt.p.RoomVersion = bob, event.V12
			require.Equal(t, tt.want, auth.Select(&tt.p))
			if tt.p.Type != event.TypeCreate {
				tt.p.RoomVersion = event.V11
				require.Equal(t, append([]auth.Key{{"m.room.create", ""}}, tt.want...), auth.Select(&tt.p))
			}
		})
	}
	p := event.Proto{RoomVersion: event.V11, Sender: bob, Type: "m.room.message"}
	ids := auth.EventsFor(&p, func(k auth.Key) matrix.EventID {
		return map[auth.Key]matrix.EventID{{"m.room.create", ""}: "$c", {"m.room.member", string(bob)}: "$m"}[k]
	})
	require.Equal(t, []matrix.EventID{"$c", "$m"}, ids)
}

func TestCheckSelection(t *testing.T) {
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		r := newRoom(t, v, nil).member(alice, event.Join).member(bob, event.Join).levels(object{})
		create, member, other, levels := r.state[0], r.state[1], r.state[2], r.state[3]
		message := r.build(alice, "m.room.message", nil, object{})
		if v.Rules().RoomIDFromCreate {
			require.NoError(t, auth.CheckSelection(message, []*event.Event{member, levels}))
			requireForbidden(t, auth.CheckSelection(message, []*event.Event{create, member, levels}), "m.room.create")
			return
		}
		require.NoError(t, auth.CheckSelection(message, []*event.Event{create, member, levels}))
		requireForbidden(t, auth.CheckSelection(message, []*event.Event{member, levels}), "create event")
		requireForbidden(t, auth.CheckSelection(message, []*event.Event{create, other}), "m.room.member")
		requireForbidden(t, auth.CheckSelection(message, []*event.Event{create, member, member}), "two events")
		r.id = "!other:example.org"
		requireForbidden(t, auth.CheckSelection(message, []*event.Event{create, r.build(alice, event.TypeMember, key0(string(alice)), object{})}), "another room")
	})
}

func BenchmarkAllowedMessage(b *testing.B) {
	r := newRoom(b, event.V12, nil).member(alice, event.Join).member(bob, event.Join).rule(event.JoinRuleInvite).
		levels(object{"users": object{string(bob): 50}, "events": object{"m.room.tombstone": 150}})
	state, e := r.provider(), r.build(bob, "m.room.message", nil, object{"body": "x"}, nobody)
	b.ReportAllocs()
	for b.Loop() {
		if err := auth.Allowed(e, state); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAliasesRule(t *testing.T) {
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		r := newRoom(t, v, nil).member(alice, event.Join).member(bob, event.Join)
		own := r.allowed(r.build(bob, event.TypeAliases, key0("example.org"), object{"aliases": []any{}}))
		if !v.Rules().AliasesRule {
			requireForbidden(t, own, "power level 50")
			requireAllowed(t, r.allowed(r.build(alice, event.TypeAliases, key0("other.org"), object{})))
			return
		}
		requireAllowed(t, own)
		requireAllowed(t, r.allowed(r.build(dave, event.TypeAliases, key0("other.org"), object{})))
		requireForbidden(t, r.allowed(r.build(alice, event.TypeAliases, key0("other.org"), object{})), "your own server")
		requireForbidden(t, r.allowed(r.build(alice, event.TypeAliases, nil, object{})), "your own server")
	})
}

func TestRedactionRule(t *testing.T) {
	forVersions(t, event.V1, func(t *testing.T, v event.RoomVersion) {
		r := newRoom(t, v, nil).member(alice, event.Join).member(bob, event.Join)
		redact := func(user matrix.UserID, id matrix.EventID) error {
			r.redacts = id
			defer func() { r.redacts = "" }()
			return r.allowed(r.build(user, event.TypeRedaction, nil, object{}))
		}
		requireAllowed(t, redact(alice, "$x:other.org"))
		requireAllowed(t, redact(bob, "$x:example.org"))
		for _, id := range []matrix.EventID{"$x:other.org", nobody} {
			if v.Rules().RedactionRule {
				requireForbidden(t, redact(bob, id), "power level 50 to redact")
			} else {
				requireAllowed(t, redact(bob, id))
			}
		}
	})
}
