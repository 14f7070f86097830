package pushrules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
)

// TestDefaultRules finds the predefined rule that matches an event.
func TestDefaultRules(t *testing.T) {
	pair := pushrules.Circumstances{Members: 2}
	loud := pushrules.Circumstances{Members: 10, SenderCanNotify: func(key string) bool { return key == "room" }}
	mentions := func(v any) object { return object{"msgtype": "m.text", "body": "x", "m.mentions": v} }
	message := func(content any) *event.Event { return build(t, "m.room.message", nil, content) }
	tests := map[string]struct {
		e         *event.Event
		room      pushrules.Circumstances
		rule      string
		notify    bool
		highlight bool
		sound     string
	}{
		"message":                  {text(t, "hello"), group(), ".m.rule.message", true, false, ""},
		"message of two":           {text(t, "hello"), pair, ".m.rule.room_one_to_one", true, false, "default"},
		"encrypted":                {build(t, "m.room.encrypted", nil, object{}), group(), ".m.rule.encrypted", true, false, ""},
		"encrypted of two":         {build(t, "m.room.encrypted", nil, object{}), pair, ".m.rule.encrypted_room_one_to_one", true, false, "default"},
		"call":                     {build(t, "m.call.invite", nil, object{}), group(), ".m.rule.call", true, false, "ring"},
		"notice":                   {message(object{"msgtype": "m.notice", "body": "alice"}), pair, ".m.rule.suppress_notices", false, false, ""},
		"invite":                   {build(t, "m.room.member", ptr(string(alice)), object{"membership": "invite"}), group(), ".m.rule.invite_for_me", true, false, "default"},
		"invite of another":        {build(t, "m.room.member", ptr("@x:y"), object{"membership": "invite"}), group(), ".m.rule.member_event", false, false, ""},
		"member":                   {build(t, "m.room.member", ptr(string(alice)), object{"membership": "leave"}), group(), ".m.rule.member_event", false, false, ""},
		"mention":                  {message(mentions(object{"user_ids": []any{"@x:y", string(alice)}})), group(), ".m.rule.is_user_mention", true, true, "default"},
		"mention of another":       {message(mentions(object{"user_ids": []any{"@x:y"}})), group(), ".m.rule.message", true, false, ""},
		"room mention":             {message(mentions(object{"room": true})), loud, ".m.rule.is_room_mention", true, true, ""},
		"room mention, no power":   {message(mentions(object{"room": true})), group(), ".m.rule.message", true, false, ""},
		"room mention, string":     {message(mentions(object{"room": "true"})), loud, ".m.rule.message", true, false, ""},
		"legacy display name":      {text(t, "hey ALICE l.: look"), group(), ".m.rule.contains_display_name", true, true, "default"},
		"legacy user name":         {text(t, "(Alice)"), group(), ".m.rule.contains_user_name", true, true, "default"},
		"part of a name":           {text(t, "alices malice alice_2"), group(), ".m.rule.message", true, false, ""},
		"legacy room":              {text(t, "dear @room!"), loud, ".m.rule.roomnotif", true, true, ""},
		"legacy room, no power":    {text(t, "dear @room!"), group(), ".m.rule.message", true, false, ""},
		"names with m.mentions":    {message(object{"msgtype": "m.text", "body": "alice Alice L. @room", "m.mentions": object{}}), loud, ".m.rule.message", true, false, ""},
		"tombstone":                {build(t, "m.room.tombstone", ptr(""), object{}), group(), ".m.rule.tombstone", true, true, ""},
		"no tombstone":             {build(t, "m.room.tombstone", nil, object{}), group(), "", false, false, ""},
		"reaction":                 {build(t, "m.reaction", nil, object{}), pair, ".m.rule.reaction", false, false, ""},
		"server acl":               {build(t, "m.room.server_acl", ptr(""), object{}), pair, ".m.rule.room.server_acl", false, false, ""},
		"edit":                     {message(object{"msgtype": "m.text", "body": "x", "m.relates_to": object{"rel_type": "m.replace"}}), pair, ".m.rule.suppress_edits", false, false, ""},
		"edit that mentions":       {message(object{"body": "x", "m.mentions": object{"user_ids": []any{string(alice)}}, "m.relates_to": object{"rel_type": "m.replace"}}), pair, ".m.rule.is_user_mention", true, true, "default"},
		"edit, mentioned before":   {message(object{"body": "x", "m.mentions": object{}, "m.new_content": mentions(object{"user_ids": []any{string(alice)}}), "m.relates_to": object{"rel_type": "m.replace"}}), pair, ".m.rule.suppress_edits", false, false, ""},
		"topic":                    {build(t, "m.room.topic", ptr(""), object{"topic": "alice"}), pair, "", false, false, ""},
		"body no string":           {message(object{"body": 5}), group(), ".m.rule.message", true, false, ""},
		"mentions of wrong shapes": {message(mentions(object{"user_ids": string(alice), "room": 1})), loud, ".m.rule.message", true, false, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := evaluate(pushrules.Rules{}, tt.e, tt.room)
			require.Equal(t, tt.rule, got.RuleID)
			require.Equal(t, []any{tt.notify, tt.highlight, tt.sound}, []any{got.Notify, got.Highlight, got.Sound})
		})
	}
}

func TestOwnEventsDoNothing(t *testing.T) {
	require.Zero(t, pushrules.Rules{}.Compile(bob).Evaluate(pushrules.Prepare(text(t, "bob"), group()), "bob"))
}

func TestNoDisplayName(t *testing.T) {
	e := pushrules.Rules{}.Compile(alice)
	require.Equal(t, ".m.rule.message", e.Evaluate(pushrules.Prepare(text(t, ""), group()), "").RuleID)
	require.Equal(t, ".m.rule.contains_display_name", e.Evaluate(pushrules.Prepare(text(t, "你好，小李。"), group()), "小李").RuleID)
	require.Equal(t, alice, e.User())
}

// TestOrder: override before content before room before sender before underride, the user's
// rules before the predefined ones, and the master rule before all.
func TestOrder(t *testing.T) {
	e := text(t, "tea time")
	r := pushrules.Rules{}
	steps := []struct {
		kind     pushrules.Kind
		id, body string
	}{
		{pushrules.Underride, "under", `{"actions":["notify"],"conditions":[]}`},
		{pushrules.Sender, string(bob), `{"actions":["notify"]}`},
		{pushrules.Room, string(room), `{"actions":["notify"]}`},
		{pushrules.Content, "tea", `{"actions":["notify"],"pattern":"tea"}`},
		{pushrules.Content, "time", `{"actions":["notify"],"pattern":"time"}`},
		{pushrules.Override, "over", `{"actions":["notify"]}`},
	}
	for _, s := range steps {
		r = put(t, r, s.kind, s.id, s.body)
		require.Equal(t, s.id, evaluate(r, e, group()).RuleID)
	}
	for i := len(steps) - 1; i > 0; i-- {
		var err error
		r, err = r.SetEnabled(steps[i].kind, steps[i].id, false)
		require.NoError(t, err)
		require.Equal(t, steps[i-1].id, evaluate(r, e, group()).RuleID)
	}
	r, err := r.SetEnabled(pushrules.Override, pushrules.RuleMaster, true)
	require.NoError(t, err)
	require.Equal(t, pushrules.Result{RuleID: pushrules.RuleMaster, Actions: []pushrules.Action{}}, evaluate(r, e, group()))
}

func TestConditions(t *testing.T) {
	e := build(t, "m.room.topic", ptr("Key"), object{
		"body": "An exciting triple-whammy", "topic": "Lunch plans", "n": 5, "yes": true, "none": nil, "list": []any{"a", 1, nil, false, object{"x": 1}},
		"m.dotted": object{"a\\b": "deep"}, "nested": object{"b": object{"c": "v"}}, "big": 9007199254740991,
	})
	tests := map[string]bool{
		`{"kind":"event_match","key":"content.topic","pattern":"lunc?*"}`:                          true,
		`{"kind":"event_match","key":"content.topic","pattern":"lunch"}`:                           false,
		`{"kind":"event_match","key":"content.topic","pattern":"*"}`:                               true,
		`{"kind":"event_match","key":"content.gone","pattern":"*"}`:                                false,
		`{"kind":"event_match","key":"content.n","pattern":"*"}`:                                   false,
		`{"kind":"event_match","key":"content","pattern":"*"}`:                                     false,
		`{"kind":"event_match","key":"type","pattern":"M.Room.*"}`:                                 true,
		`{"kind":"event_match","key":"sender","pattern":"@bob:*"}`:                                 true,
		`{"kind":"event_match","key":"room_id","pattern":"!room:example.org"}`:                     true,
		`{"kind":"event_match","key":"state_key","pattern":"key"}`:                                 true,
		`{"kind":"event_match","key":"state_key","pattern":""}`:                                    false,
		`{"kind":"event_match","key":"event_id","pattern":"$*"}`:                                   true,
		`{"kind":"event_match","key":"content.body","pattern":"ex*ple"}`:                           true,
		`{"kind":"event_match","key":"content.body","pattern":"whammy"}`:                           true,
		`{"kind":"event_match","key":"content.body","pattern":"wham"}`:                             false,
		`{"kind":"event_match","key":"content.m\\.dotted.a\\\\b","pattern":"deep"}`:                true,
		`{"kind":"event_match","key":"content.m.dotted.a","pattern":"*"}`:                          false,
		`{"kind":"event_match","key":"content.nested.b.c","pattern":"V"}`:                          true,
		`{"kind":"event_match","key":"content.topic"}`:                                             false,
		`{"kind":"event_match","pattern":"*"}`:                                                     false,
		`{"kind":"event_match","key":"content.topic","pattern":5}`:                                 false,
		`{"kind":"event_property_is","key":"content.yes","value":true}`:                            true,
		`{"kind":"event_property_is","key":"content.yes","value":"true"}`:                          false,
		`{"kind":"event_property_is","key":"content.n","value":5}`:                                 true,
		`{"kind":"event_property_is","key":"content.n","value":"5"}`:                               false,
		`{"kind":"event_property_is","key":"content.big","value":9007199254740991}`:                true,
		`{"kind":"event_property_is","key":"content.none","value":null}`:                           true,
		`{"kind":"event_property_is","key":"content.gone","value":null}`:                           false,
		`{"kind":"event_property_is","key":"content.topic","value":"Lunch plans"}`:                 true,
		`{"kind":"event_property_is","key":"content.topic","value":"\u004cunch plans"}`:            true,
		`{"kind":"event_property_is","key":"content.topic","value":"lunch plans"}`:                 false,
		`{"kind":"event_property_is","key":"content.nested","value":{"b":{"c":"v"}}}`:              false,
		`{"kind":"event_property_is","key":"origin_server_ts","value":1700000000000}`:              true,
		`{"kind":"event_property_is","key":"type","value":"m.room.topic"}`:                         true,
		`{"kind":"event_property_is","key":"content.n"}`:                                           false,
		`{"kind":"event_property_is","key":"content.n","value":5.0}`:                               false,
		`{"kind":"event_property_contains","key":"content.list","value":"a"}`:                      true,
		`{"kind":"event_property_contains","key":"content.list","value":"A"}`:                      false,
		`{"kind":"event_property_contains","key":"content.list","value":1}`:                        true,
		`{"kind":"event_property_contains","key":"content.list","value":null}`:                     true,
		`{"kind":"event_property_contains","key":"content.list","value":false}`:                    true,
		`{"kind":"event_property_contains","key":"content.list","value":true}`:                     false,
		`{"kind":"event_property_contains","key":"content.topic","value":"Lunch plans"}`:           false,
		`{"kind":"event_property_contains","key":"content.gone","value":"a"}`:                      false,
		`{"kind":"room_member_count","is":"10"}`:                                                   true,
		`{"kind":"room_member_count","is":"==10"}`:                                                 true,
		`{"kind":"room_member_count","is":"<10"}`:                                                  false,
		`{"kind":"room_member_count","is":"<=10"}`:                                                 true,
		`{"kind":"room_member_count","is":">9"}`:                                                   true,
		`{"kind":"room_member_count","is":">=11"}`:                                                 false,
		`{"kind":"room_member_count","is":"=10"}`:                                                  false,
		`{"kind":"room_member_count","is":"ten"}`:                                                  false,
		`{"kind":"room_member_count","is":""}`:                                                     false,
		`{"kind":"room_member_count","is":"99999999999999999999"}`:                                 false,
		`{"kind":"room_member_count","is":10}`:                                                     false,
		`{"kind":"room_member_count"}`:                                                             false,
		`{"kind":"sender_notification_permission","key":"room"}`:                                   false,
		`{"kind":"sender_notification_permission"}`:                                                false,
		`{"kind":"contains_display_name"}`:                                                         false,
		`{"kind":"device"}`:                                                                        false,
		`{"kind":"org.example"}`:                                                                   false,
		`{"kind":"event_match","key":"content.topic","pattern":"Lunch*","other":"ignored","x":{}}`: true,
	}
	for condition, want := range tests {
		r := put(t, pushrules.Rules{}, pushrules.Override, "rule", `{"actions":["notify"],"conditions":[`+condition+`]}`)
		require.Equal(t, want, evaluate(r, e, group()).RuleID == "rule", condition)
	}
	r := put(t, pushrules.Rules{}, pushrules.Override, "rule", `{"actions":["notify"],"conditions":[{"kind":"room_member_count","is":"10"},{"kind":"x"}]}`)
	require.Empty(t, evaluate(r, e, group()).RuleID, "all conditions must hold")
}

func TestTweaks(t *testing.T) {
	tests := map[string]pushrules.Result{
		`["notify"]`:                  {Notify: true},
		`[]`:                          {},
		`["dont_notify"]`:             {},
		`["notify","coalesce"]`:       {Notify: true},
		`[{"set_tweak":"highlight"}]`: {Highlight: true},
		`["notify",{"set_tweak":"highlight","value":false},{"set_tweak":"sound","value":"bing"}]`: {Notify: true, Sound: "bing"},
		`[{"set_tweak":"highlight","value":true},{"set_tweak":"x","value":{"y":1.5}}]`:            {Highlight: true},
	}
	for actions, want := range tests {
		got := evaluate(put(t, pushrules.Rules{}, pushrules.Override, "r", `{"actions":`+actions+`}`), text(t, "x"), group())
		require.Equal(t, []any{want.Notify, want.Highlight, want.Sound}, []any{got.Notify, got.Highlight, got.Sound}, actions)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	long := "Good morning everybody, shall we meet at the station at nine? It has been quite a while since the last time, and there is a lot to talk about."
	for name, e := range map[string]*event.Event{"plain": text(b, long), "mentions": build(b, "m.room.message", nil, object{"body": long, "msgtype": "m.text", "m.mentions": object{}})} {
		b.Run(name, func(b *testing.B) {
			rules := pushrules.Rules{}.Compile(alice)
			p := pushrules.Prepare(e, group())
			b.ReportAllocs()
			for b.Loop() {
				if !rules.Evaluate(p, "Alice L.").Notify {
					b.Fatal("no notification")
				}
			}
		})
	}
}

func BenchmarkPrepare(b *testing.B) {
	e, c := text(b, "Good morning everybody, shall we meet at the station at nine?"), group()
	b.ReportAllocs()
	for b.Loop() {
		pushrules.Prepare(e, c)
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		pushrules.Rules{}.Compile(alice)
	}
}
