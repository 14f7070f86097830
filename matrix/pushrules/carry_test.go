package pushrules_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/pushrules"
)

// TestCarryRoom gives a new room the rules of the old one: those of kind room, and those whose conditions name the room, as
// clients mute rooms.
func TestCarryRoom(t *testing.T) {
	const from, to = "!old:hs", "!new:hs"
	var r pushrules.Rules
	put := func(kind pushrules.Kind, id, body string) {
		t.Helper()
		var err error
		r, err = r.Put(kind, id, []byte(body), "", "")
		require.NoError(t, err)
	}
	_, changed := r.CarryRoom(from, to)
	require.False(t, changed)
	mute := `{"actions":[],"conditions":[{"kind":"event_match","key":"room_id","pattern":"!old:hs"}]}`
	put(pushrules.Room, "!other:hs", `{"actions":["notify"]}`)
	put(pushrules.Room, from, `{"actions":["notify",{"set_tweak":"sound","value":"x"}]}`)
	put(pushrules.Override, from, mute)
	put(pushrules.Override, "quiet", mute)
	put(pushrules.Override, "other", `{"actions":[],"conditions":[{"kind":"event_match","key":"room_id","pattern":"!other:hs"}]}`)
	put(pushrules.Override, "text", `{"actions":[],"conditions":[{"kind":"event_match","key":"content.body","pattern":"!old:hs"}]}`)
	put(pushrules.Underride, "for !old:hs", mute)
	var err error
	r, err = r.SetEnabled(pushrules.Override, from, false)
	require.NoError(t, err)
	before, err := r.Encode()
	require.NoError(t, err)

	carried, changed := r.CarryRoom(from, to)
	require.True(t, changed)
	rule, err := carried.Get("@u:hs", pushrules.Room, to)
	require.NoError(t, err)
	require.Len(t, rule.Actions, 2)
	ids := func(rules []pushrules.Rule) (ids []string) {
		for _, r := range rules {
			ids = append(ids, r.RuleID)
		}
		return ids
	}
	require.Equal(t, []string{to, from, "!other:hs"}, ids(carried.Room))
	require.Equal(t, []string{"text", "other", "quiet", to, from}, ids(carried.Override), "one of two that would have the same id")
	require.Equal(t, []string{"for !new:hs", "for !old:hs"}, ids(carried.Underride))
	rule, err = carried.Get("@u:hs", pushrules.Override, to)
	require.NoError(t, err)
	require.False(t, rule.Enabled)
	require.JSONEq(t, `{"kind":"event_match","key":"room_id","pattern":"!new:hs"}`, string(rule.Conditions[0]))

	again, changed := carried.CarryRoom(from, to)
	require.False(t, changed, "once is enough")
	require.Equal(t, carried, again)
	after, err := r.Encode()
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "the receiver is left alone")
	encoded, err := json.Marshal(carried.Ruleset("@u:hs").Global())
	require.NoError(t, err)
	require.Contains(t, string(encoded), to)
}
