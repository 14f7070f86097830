package auth_test

import (
	"testing"

	"github.com/matrix-org/gomatrixserverlib"
	"github.com/matrix-org/gomatrixserverlib/spec"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix"
	"hongyan/matrix/event"
)

var (
	users       = []matrix.UserID{alice, bob, carol, dave}
	memberships = []event.Membership{event.Join, event.Leave, event.Invite, event.Ban, event.Knock, ""}
	levels      = rapid.SampledFrom([]int{-1, 0, 1, 50, 99, 100})
)

// TestAgreesWithGomatrixserverlib authorises random events in random rooms and compares with
// another implementation, but for where that one departs from the specification.
func TestAgreesWithGomatrixserverlib(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := randomRoom(t)
		e := randomEvent(t, r)
		ours := r.allowed(e)
		if departs(r, e) {
			return
		}
		theirs := r.oracle(e)
		require.Equal(t, theirs == nil, ours == nil, "%s\nours: %v\ntheirs: %v", e.JSON(), ours, theirs)
	})
}

func randomRoom(t *rapid.T) *room {
	r := newRoom(t, rapid.SampledFrom(event.Versions()).Draw(t, "version"), object{"m.federate": rapid.Bool().Draw(t, "federate")})
	for _, user := range users {
		if m := rapid.SampledFrom(memberships).Draw(t, "membership"); m != "" && (m != event.Knock || r.version.Rules().Knocking) {
			r.member(user, m)
		}
	}
	if rapid.Bool().Draw(t, "has join rule") {
		rules := []event.JoinRule{event.JoinRulePublic, event.JoinRuleInvite, event.JoinRuleKnock, event.JoinRuleRestricted, event.JoinRuleKnockRestricted}
		r.rule(rapid.SampledFrom(rules).Draw(t, "join rule"))
	}
	if rapid.Bool().Draw(t, "has levels") {
		content, userLevels := object{}, object{}
		for _, user := range users {
			if user != alice || !r.version.Rules().InfiniteCreators {
				userLevels[string(user)] = levels.Draw(t, "level")
			}
		}
		for _, name := range []string{"ban", "kick", "invite", "redact", "events_default", "state_default", "users_default"} {
			if rapid.Bool().Draw(t, "has "+name) {
				content[name] = levels.Draw(t, name)
			}
		}
		content["users"] = userLevels
		content["events"] = object{"m.room.topic": levels.Draw(t, "topic"), "m.room.message": levels.Draw(t, "message")}
		r.levels(content)
	}
	return r
}

func randomEvent(t *rapid.T, r *room) *event.Event {
	sender := rapid.SampledFrom(users).Draw(t, "sender")
	if rapid.Bool().Draw(t, "other") {
		key := rapid.SampledFrom([]*string{nil, key0(""), key0("x"), key0("@x"), key0(string(alice)), key0(string(bob)), key0("example.org")}).Draw(t, "key")
		kind := rapid.SampledFrom([]string{"m.room.message", "m.room.topic", "m.room.redaction", "org.example", "m.room.aliases"}).Draw(t, "type")
		if kind == event.TypeRedaction {
			r.redacts = rapid.SampledFrom([]matrix.EventID{"$x:example.org", "$x:other.org"}).Draw(t, "redacts")
		}
		return r.build(sender, kind, key, object{"body": "x"}, nobody)
	}
	content := object{"membership": rapid.SampledFrom(append(memberships, "dance")).Draw(t, "new membership")}
	if rapid.Bool().Draw(t, "has via") {
		content["join_authorised_via_users_server"] = rapid.SampledFrom(users).Draw(t, "via")
	}
	target := rapid.SampledFrom(append(users, sender)).Draw(t, "target")
	prev := rapid.SampledFrom([]matrix.EventID{nobody, r.create.ID()}).Draw(t, "prev")
	return r.build(sender, event.TypeMember, key0(string(target)), content, prev)
}

// departs tells whether gomatrixserverlib is known not to follow the specification here.
func departs(r *room, e *event.Event) bool {
	if e.Type() != event.TypeMember {
		// It has the rule for m.room.aliases in all versions, and panics without a state key.
		return e.Type() == event.TypeAliases && (!e.IsState() || !e.Rules().AliasesRule)
	}
	state, rules := r.provider(), r.version.Rules()
	target := matrix.UserID(e.StateKeyValue())
	was := state.Membership(target)
	own := target == e.Sender()
	rule := state.JoinRule()
	if via := e.ContentString("join_authorised_via_users_server"); via != "" && !e.SignedBy(matrix.UserID(via).Server()) {
		return true // it leaves signatures to others, also this one
	}
	switch e.Membership() {
	case event.Leave:
		// It lets who has left leave again, and unbans without regard to the kick level and to rank.
		return own && (was == event.Leave || was == "") || !own && was == event.Ban
	case event.Join:
		// It lets the invited in under every join rule, knows all rules in all versions, keeps those
		// who knocked out of public rooms, and lets only the creator send the creator's first join.
		return was == event.Knock && rule == event.JoinRulePublic || rule == event.JoinRuleKnock && !rules.Knocking || rule == event.JoinRuleRestricted && !rules.Restricted ||
			rule == event.JoinRuleKnockRestricted && !rules.KnockRestricted || !own && target == alice
	case event.Knock:
		return rule == event.JoinRuleKnockRestricted && !rules.KnockRestricted
	}
	return false
}

func (r *room) oracle(e *event.Event) error {
	version, err := gomatrixserverlib.GetRoomVersion(gomatrixserverlib.RoomVersion(r.version))
	require.NoError(r.t, err)
	convert := func(e *event.Event) gomatrixserverlib.PDU {
		pdu, err := version.NewEventFromTrustedJSON(e.JSON(), false)
		require.NoError(r.t, err)
		return pdu
	}
	var state []gomatrixserverlib.PDU
	for _, e := range r.state {
		state = append(state, convert(e))
	}
	provider, err := gomatrixserverlib.NewAuthEvents(state)
	require.NoError(r.t, err)
	return gomatrixserverlib.Allowed(convert(e), provider, func(_ spec.RoomID, sender spec.SenderID) (*spec.UserID, error) {
		return spec.NewUserID(string(sender), true)
	})
}
