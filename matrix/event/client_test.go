package event_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"hongyan/matrix/event"
)

func TestClientJSON(t *testing.T) {
	message, err := event.Build(proto(event.V12), signer(t))
	require.NoError(t, err)
	require.Equal(t, `{"content":{"body":"hello","msgtype":"m.text"},"event_id":"`+string(message.ID())+`","origin_server_ts":1700000000000,"sender":"@alice:example.org","type":"m.room.message"}`, string(message.ClientJSON(false)))

	p := proto(event.V11)
	p.Type, p.StateKey, p.Content = "m.room.topic", ptr("a\"b"), []byte(`{"topic":"日本"}`)
	state, err := event.Build(p, signer(t))
	require.NoError(t, err)
	require.Equal(t, `{"content":{"topic":"日本"},"event_id":"`+string(state.ID())+`","origin_server_ts":1700000000000,"room_id":"!room:example.org","sender":"@alice:example.org","state_key":"a\"b","type":"m.room.topic"}`, string(state.ClientJSON(true)))
	require.Equal(t, `{"content":{"topic":"日本"},"sender":"@alice:example.org","state_key":"a\"b","type":"m.room.topic"}`, string(state.AppendStripped(nil)))
}

// TestClientJSONOfRedactions: what is redacted stands at top level and in content in every version.
func TestClientJSONOfRedactions(t *testing.T) {
	for _, v := range event.Versions() {
		t.Run(string(v), func(t *testing.T) {
			p := proto(v)
			p.Type, p.Content, p.Redacts = event.TypeRedaction, []byte(`{"a":1,"reason":"spam","z":2}`), hash1
			e, err := event.Build(p, signer(t))
			require.NoError(t, err)
			require.Equal(t, hash1, e.Redacts())
			require.Equal(t, `{"content":{"a":1,"reason":"spam","redacts":"`+string(hash1)+`","z":2},"event_id":"`+string(e.ID())+`","origin_server_ts":1700000000000,"redacts":"`+string(hash1)+`","sender":"@alice:example.org","type":"m.room.redaction"}`, string(e.ClientJSON(false)))

			var pdu map[string]any
			require.NoError(t, json.Unmarshal(e.JSON(), &pdu))
			if v.Rules().RedactsInContent {
				require.NotContains(t, pdu, "redacts")
				require.Contains(t, pdu["content"], "redacts")
			} else {
				require.Equal(t, string(hash1), pdu["redacts"])
				require.NotContains(t, pdu["content"], "redacts")
			}
		})
	}
}

func TestAppendUnsigned(t *testing.T) {
	tests := map[string]struct {
		u    event.Unsigned
		want string
	}{
		"age":      {event.Unsigned{Age: -5}, `{"age":-5}`},
		"nothing":  {event.Unsigned{NoAge: true}, `{}`},
		"no age":   {event.Unsigned{NoAge: true, TransactionID: "t"}, `{"transaction_id":"t"}`},
		"sender's": {event.Unsigned{Age: 1, Membership: event.Join, TransactionID: "t\""}, `{"age":1,"membership":"join","transaction_id":"t\""}`},
		"everything": {event.Unsigned{
			Age: 1, Membership: event.Leave, TransactionID: "t", PrevContent: []byte(`{"a":1}`), ReplacesState: hash1,
			RedactedBecause: []byte(`{"type":"m.room.redaction"}`), Relations: []byte(`{}`),
		}, `{"age":1,"m.relations":{},"membership":"leave","prev_content":{"a":1},"redacted_because":{"type":"m.room.redaction"},"replaces_state":"` + string(hash1) + `","transaction_id":"t"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client := []byte(`{"type":"m.x"}`)
			got := event.AppendUnsigned([]byte("before"), client, tt.u)
			require.Equal(t, `before{"type":"m.x","unsigned":`+tt.want+`}`, string(got))
			require.Equal(t, `{"type":"m.x"}`, string(client))
		})
	}
}

// TestClientJSONIsWhatTheEventSays compares with a decoding by encoding/json.
func TestClientJSONIsWhatTheEventSays(t *testing.T) {
	key := testKey(t)
	rapid.Check(t, func(t *rapid.T) {
		e, err := event.Build(protos().Draw(t, "proto"), event.NewSigner(server, key))
		require.NoError(t, err)
		var pdu, client map[string]any
		require.NoError(t, json.Unmarshal(e.JSON(), &pdu))
		require.NoError(t, json.Unmarshal(event.AppendUnsigned(nil, e.ClientJSON(true), event.Unsigned{}), &client))
		for _, name := range []string{"auth_events", "depth", "hashes", "prev_events", "signatures"} {
			delete(pdu, name)
		}
		pdu["event_id"], pdu["room_id"], pdu["unsigned"] = string(e.ID()), string(e.RoomID()), map[string]any{"age": 0.0}
		if e.Redacts() != "" {
			pdu["redacts"] = string(e.Redacts())
			pdu["content"].(map[string]any)["redacts"] = string(e.Redacts())
		}
		require.Equal(t, pdu, client)
	})
}
