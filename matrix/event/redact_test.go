package event_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
)

// TestRedactContent checks what each version keeps of each type's content.
func TestRedactContent(t *testing.T) {
	all := event.Versions()
	from := func(n int) []event.RoomVersion { return all[n-1:] }
	before := func(n int) []event.RoomVersion { return all[:n-1] }
	tests := []struct {
		name, eventType, content, want string
		versions                       []event.RoomVersion
	}{
		{"message", "m.room.message", `{"body":"x"}`, `{}`, all},
		{"name", "m.room.name", `{"name":"x"}`, `{}`, all},
		{"aliases", "m.room.aliases", `{"aliases":[],"x":1}`, `{"aliases":[]}`, before(6)},
		{"aliases", "m.room.aliases", `{"aliases":[],"x":1}`, `{}`, from(6)},
		{"member", "m.room.member", `{"displayname":"A","membership":"join"}`, `{"membership":"join"}`, all},
		{"authorised via", "m.room.member", `{"join_authorised_via_users_server":"@b:x","membership":"join"}`, `{"membership":"join"}`, before(9)},
		{"authorised via", "m.room.member", `{"join_authorised_via_users_server":"@b:x","membership":"join"}`, `{"join_authorised_via_users_server":"@b:x","membership":"join"}`, from(9)},
		{"third party", "m.room.member", `{"membership":"invite","third_party_invite":{"display_name":"b","signed":{"mxid":"@b:x"}}}`, `{"membership":"invite"}`, before(11)},
		{"third party", "m.room.member", `{"membership":"invite","third_party_invite":{"display_name":"b","signed":{"mxid":"@b:x"}}}`, `{"membership":"invite","third_party_invite":{"signed":{"mxid":"@b:x"}}}`, from(11)},
		{"third party, unsigned", "m.room.member", `{"third_party_invite":{"display_name":"b"}}`, `{"third_party_invite":{}}`, from(11)},
		{"third party, no object", "m.room.member", `{"third_party_invite":"x"}`, `{}`, from(11)},
		{"create", "m.room.create", `{"creator":"@a:x","m.federate":false}`, `{"creator":"@a:x"}`, before(11)},
		{"create", "m.room.create", `{"creator":"@a:x","m.federate":false}`, `{"creator":"@a:x","m.federate":false}`, from(11)},
		{"join rules", "m.room.join_rules", `{"allow":[],"join_rule":"x","other":1}`, `{"join_rule":"x"}`, before(8)},
		{"join rules", "m.room.join_rules", `{"allow":[],"join_rule":"x","other":1}`, `{"allow":[],"join_rule":"x"}`, from(8)},
		{"power levels", "m.room.power_levels", `{"ban":1,"events":{},"events_default":1,"invite":1,"kick":1,"notifications":{},"redact":1,"state_default":1,"users":{},"users_default":1}`, `{"ban":1,"events":{},"events_default":1,"kick":1,"redact":1,"state_default":1,"users":{},"users_default":1}`, before(11)},
		{"power levels", "m.room.power_levels", `{"ban":1,"events":{},"events_default":1,"invite":1,"kick":1,"notifications":{},"redact":1,"state_default":1,"users":{},"users_default":1}`, `{"ban":1,"events":{},"events_default":1,"invite":1,"kick":1,"redact":1,"state_default":1,"users":{},"users_default":1}`, from(11)},
		{"visibility", "m.room.history_visibility", `{"history_visibility":"joined","x":1}`, `{"history_visibility":"joined"}`, all},
		{"redaction", "m.room.redaction", `{"reason":"spam","redacts":"$x"}`, `{}`, before(11)},
		{"redaction", "m.room.redaction", `{"reason":"spam","redacts":"$x"}`, `{"redacts":"$x"}`, from(11)},
	}
	for _, tt := range tests {
		for _, v := range tt.versions {
			t.Run(tt.name+" in "+string(v), func(t *testing.T) {
				got, err := event.Redact(v, []byte(`{"content":`+tt.content+`,"type":"`+tt.eventType+`"}`))
				require.NoError(t, err)
				require.Equal(t, `{"content":`+tt.want+`,"type":"`+tt.eventType+`"}`, string(got))
			})
		}
	}
}

func TestRedactTopLevel(t *testing.T) {
	const whole = `{"age_ts":1,"auth_events":[],"content":{"body":"x"},"depth":1,"event_id":"$a","hashes":{},"membership":"join","origin":"x","origin_server_ts":1,"prev_events":[],"prev_state":[],"redacts":"$b","room_id":"!a","sender":"@a:x","signatures":{},"state_key":"","type":"m.x","unsigned":{}}`
	got, err := event.Redact(event.V10, []byte(whole))
	require.NoError(t, err)
	require.Equal(t, `{"auth_events":[],"content":{},"depth":1,"event_id":"$a","hashes":{},"membership":"join","origin":"x","origin_server_ts":1,"prev_events":[],"prev_state":[],"room_id":"!a","sender":"@a:x","signatures":{},"state_key":"","type":"m.x"}`, string(got))
	got, err = event.Redact(event.V11, []byte(whole))
	require.NoError(t, err)
	require.Equal(t, `{"auth_events":[],"content":{},"depth":1,"event_id":"$a","hashes":{},"origin_server_ts":1,"prev_events":[],"room_id":"!a","sender":"@a:x","signatures":{},"state_key":"","type":"m.x"}`, string(got))

	_, err = event.Redact("99", []byte(whole))
	require.Error(t, err)
	_, err = event.Redact(event.V11, []byte(`{}`))
	require.Error(t, err)
}

func TestRedactedKeepsWhatNeedsNoChange(t *testing.T) {
	p := proto(event.V12)
	p.Content = []byte(`{}`)
	e, err := event.Build(p, signer(t))
	require.NoError(t, err)
	same, err := e.Redacted()
	require.NoError(t, err)
	require.Same(t, e, same)
}
