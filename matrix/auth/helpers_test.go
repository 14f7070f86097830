package auth_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/auth"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
)

const (
	server = matrix.ServerName("example.org")
	alice  = matrix.UserID("@alice:example.org") // creates every room
	bob    = matrix.UserID("@bob:example.org")
	carol  = matrix.UserID("@carol:example.org")
	dave   = matrix.UserID("@dave:other.org")
	nobody = matrix.EventID("$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg")
)

type object = map[string]any

// room makes events of one room, and the state that they are authorised by.
type room struct {
	t       require.TestingT
	version event.RoomVersion
	id      matrix.RoomID
	create  *event.Event
	signer  *event.Signer
	state   []*event.Event
	redacts matrix.EventID
	made    int // events of versions whose event ids are not hashes
}

func newRoom(t require.TestingT, version event.RoomVersion, create object) *room {
	key, err := event.ParseSigningKey([]byte("ed25519 a_test YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"))
	require.NoError(t, err)
	r := &room{t: t, version: version, id: "!room:example.org", signer: event.NewSigner(server, key)}
	content := object{"room_version": string(version)}
	if version.Rules().CreatorInContent {
		content["creator"] = string(alice)
	}
	if version.Rules().RoomIDFromCreate {
		r.id = ""
	}
	for key, value := range create {
		content[key] = value
	}
	r.create = r.build(alice, event.TypeCreate, key0(""), content)
	r.id = r.create.RoomID()
	r.state = []*event.Event{r.create}
	return r
}

func key0(s string) *string { return &s }

// build makes an event that nothing authorised.
func (r *room) build(sender matrix.UserID, eventType string, stateKey *string, content any, prev ...matrix.EventID) *event.Event {
	raw, err := canonicaljson.Marshal(content)
	require.NoError(r.t, err)
	p := event.Proto{
		RoomVersion: r.version, RoomID: r.id, Sender: sender, Type: eventType, StateKey: stateKey, Content: raw,
		Redacts: r.redacts, PrevEvents: prev, Depth: 5, OriginServerTS: 1700000000000,
	}
	if r.version.Rules().OwnEventIDs {
		r.made++
		p.EventID = matrix.EventID(fmt.Sprintf("$event%d:%s", r.made, sender.Server()))
		p.ReferenceHashes = map[matrix.EventID]string{}
		for _, id := range prev {
			p.ReferenceHashes[id] = "Rqnc+F+dvnEYJTyHq/iKxU2bZ1CI92+kuZq3a5lr5Zg"
		}
	}
	e, err := event.Build(p, r.signer)
	require.NoError(r.t, err)
	return e
}

// set puts a state event into the state.
func (r *room) set(sender matrix.UserID, eventType, stateKey string, content any) *room {
	r.state = append(r.state, r.build(sender, eventType, &stateKey, content, nobody))
	return r
}

func (r *room) member(user matrix.UserID, membership event.Membership) *room {
	return r.set(user, event.TypeMember, string(user), object{"membership": membership})
}

func (r *room) rule(rule event.JoinRule) *room {
	return r.set(alice, event.TypeJoinRules, "", object{"join_rule": rule})
}

func (r *room) levels(content object) *room {
	return r.set(alice, event.TypePowerLevels, "", content)
}

func (r *room) provider() *auth.Map {
	m, err := auth.NewMap(r.state...)
	require.NoError(r.t, err)
	return m
}

func (r *room) allowed(e *event.Event) error { return auth.Allowed(e, r.provider()) }

// change is an event that changes a membership.
func (r *room) change(sender, target matrix.UserID, membership event.Membership) *event.Event {
	return r.build(sender, event.TypeMember, key0(string(target)), object{"membership": membership}, nobody)
}

func requireAllowed(t *testing.T, err error) {
	t.Helper()
	require.NoError(t, err)
}

func requireForbidden(t *testing.T, err error, message string) {
	t.Helper()
	require.Error(t, err)
	e := matrix.AsError(err)
	require.Equal(t, matrix.CodeForbidden, e.Code)
	require.Contains(t, e.Message, message)
}

func marshal(t require.TestingT, v any) []byte {
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}
