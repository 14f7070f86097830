package pushrules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/canonicaljson"
	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
)

const (
	alice = matrix.UserID("@alice:example.org") // whose rules these are
	bob   = matrix.UserID("@bob:example.org")   // who sends
	room  = matrix.RoomID("!room:example.org")
)

type object = map[string]any

// build makes an event of bob's.
func build(t testing.TB, eventType string, stateKey *string, content any) *event.Event {
	raw, err := canonicaljson.Marshal(content)
	require.NoError(t, err)
	pdu := object{"type": eventType, "sender": string(bob), "room_id": string(room), "content": raw2(raw), "origin_server_ts": 1700000000000, "depth": 3}
	if stateKey != nil {
		pdu["state_key"] = *stateKey
	}
	all, err := canonicaljson.Marshal(pdu)
	require.NoError(t, err)
	e, err := event.Parse(event.V11, all)
	require.NoError(t, err)
	return e
}

type raw2 []byte

func (r raw2) MarshalJSON() ([]byte, error) { return r, nil }

func text(t testing.TB, body string) *event.Event {
	return build(t, "m.room.message", nil, object{"msgtype": "m.text", "body": body})
}

func group() pushrules.Circumstances {
	return pushrules.Circumstances{Members: 10, SenderCanNotify: func(string) bool { return false }}
}

func evaluate(r pushrules.Rules, e *event.Event, c pushrules.Circumstances) pushrules.Result {
	return r.Compile(alice).Evaluate(pushrules.Prepare(e, c), "Alice L.")
}

func put(t testing.TB, r pushrules.Rules, kind pushrules.Kind, id, body string) pushrules.Rules {
	r, err := r.Put(kind, id, []byte(body), "", "")
	require.NoError(t, err)
	return r
}

func ptr(s string) *string { return &s }
