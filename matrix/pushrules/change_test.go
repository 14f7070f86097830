package pushrules_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/pushrules"
)

func requireCode(t *testing.T, err error, code matrix.ErrCode) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, matrix.AsError(err).Code, matrix.AsError(err).Message)
}

// TestDefaultRuleset pins what GET /pushrules/ answers for a new user.
func TestDefaultRuleset(t *testing.T) {
	got, err := json.MarshalIndent(pushrules.Rules{}.Ruleset(alice).Global(), "", "  ")
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join("testdata", "default.golden.json"))
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(want)), string(got))
}

func ids(rules []pushrules.Rule) (list []string) {
	for _, r := range rules {
		if !r.Default {
			list = append(list, r.RuleID)
		}
	}
	return list
}

func TestPlace(t *testing.T) {
	const body = `{"actions":[],"pattern":"x"}`
	r := pushrules.Rules{}
	steps := []struct {
		id, before, after string
		want              []string
	}{
		{"a", "", "", []string{"a"}},
		{"b", "", "", []string{"b", "a"}},
		{"c", "a", "", []string{"b", "c", "a"}},
		{"d", "", "a", []string{"b", "c", "a", "d"}},
		{"e", "b", "d", []string{"e", "b", "c", "a", "d"}},
		{"a", "", "", []string{"e", "b", "c", "a", "d"}},
		{"a", "e", "", []string{"a", "e", "b", "c", "d"}},
		{"a", "", "d", []string{"e", "b", "c", "d", "a"}},
	}
	for _, s := range steps {
		before := r
		kept := ids(before.Ruleset(alice).Content)
		var err error
		r, err = r.Put(pushrules.Content, s.id, []byte(body), s.before, s.after)
		require.NoError(t, err)
		require.Equal(t, s.want, ids(r.Ruleset(alice).Content))
		require.Equal(t, kept, ids(before.Ruleset(alice).Content), "the receiver changed")
	}
	for _, name := range []string{"nope", "a", ".m.rule.contains_user_name"} {
		_, err := r.Put(pushrules.Content, "a", []byte(body), name, "")
		requireCode(t, err, matrix.CodeUnknown)
		require.Equal(t, 400, matrix.AsError(err).Status)
		require.Contains(t, err.Error(), name)
		_, err = r.Put(pushrules.Content, "a", []byte(body), "", name)
		requireCode(t, err, matrix.CodeUnknown)
	}
	all := r.Ruleset(alice).Content
	require.Equal(t, ".m.rule.contains_user_name", all[len(all)-1].RuleID)
	over := put(t, r, pushrules.Override, "o", `{"actions":[]}`).Ruleset(alice).Override
	require.Equal(t, []string{pushrules.RuleMaster, "o", ".m.rule.suppress_notices"}, []string{over[0].RuleID, over[1].RuleID, over[2].RuleID})
}

func TestPutKeepsWhetherEnabled(t *testing.T) {
	r := put(t, pushrules.Rules{}, pushrules.Room, string(room), `{"actions":[]}`)
	rule, err := r.Get(alice, pushrules.Room, string(room))
	require.NoError(t, err)
	require.True(t, rule.Enabled)
	r, err = r.SetEnabled(pushrules.Room, string(room), false)
	require.NoError(t, err)
	r = put(t, r, pushrules.Room, string(room), `{"actions":["notify"]}`)
	rule, err = r.Get(alice, pushrules.Room, string(room))
	require.NoError(t, err)
	require.False(t, rule.Enabled)
	require.Len(t, rule.Actions, 1)
}

func TestPutRefuses(t *testing.T) {
	const valid = `{"actions":[]}`
	tests := map[string]struct {
		kind     pushrules.Kind
		id, body string
		code     matrix.ErrCode
	}{
		"dot":                 {pushrules.Override, ".x", valid, matrix.CodeInvalidParam},
		"predefined":          {pushrules.Override, pushrules.RuleMaster, valid, matrix.CodeInvalidParam},
		"slash":               {pushrules.Override, "a/b", valid, matrix.CodeInvalidParam},
		"backslash":           {pushrules.Override, `a\b`, valid, matrix.CodeInvalidParam},
		"empty id":            {pushrules.Override, "", valid, matrix.CodeInvalidParam},
		"id not UTF-8":        {pushrules.Override, "a\xff", valid, matrix.CodeInvalidParam},
		"id with NUL":         {pushrules.Override, "a\x00", valid, matrix.CodeInvalidParam},
		"long id":             {pushrules.Override, strings.Repeat("x", 256), valid, matrix.CodeInvalidParam},
		"room id":             {pushrules.Room, "room", valid, matrix.CodeInvalidParam},
		"user id":             {pushrules.Sender, "bob", valid, matrix.CodeInvalidParam},
		"no JSON":             {pushrules.Override, "a", `{`, matrix.CodeNotJSON},
		"no object":           {pushrules.Override, "a", `[]`, matrix.CodeBadJSON},
		"no actions":          {pushrules.Override, "a", `{}`, matrix.CodeMissingParam},
		"actions no list":     {pushrules.Override, "a", `{"actions":"notify"}`, matrix.CodeBadJSON},
		"unknown action":      {pushrules.Override, "a", `{"actions":["dance"]}`, matrix.CodeInvalidParam},
		"action no tweak":     {pushrules.Override, "a", `{"actions":[{"x":1}]}`, matrix.CodeBadJSON},
		"action a number":     {pushrules.Override, "a", `{"actions":[1]}`, matrix.CodeBadJSON},
		"too many actions":    {pushrules.Override, "a", `{"actions":["notify"` + strings.Repeat(`,"notify"`, pushrules.MaxActions) + `]}`, matrix.CodeBadJSON},
		"no pattern":          {pushrules.Content, "a", valid, matrix.CodeMissingParam},
		"pattern no string":   {pushrules.Content, "a", `{"actions":[],"pattern":1}`, matrix.CodeBadJSON},
		"long pattern":        {pushrules.Content, "a", `{"actions":[],"pattern":"` + strings.Repeat("x", 600) + `"}`, matrix.CodeBadJSON},
		"conditions no list":  {pushrules.Override, "a", `{"actions":[],"conditions":{}}`, matrix.CodeBadJSON},
		"condition no object": {pushrules.Underride, "a", `{"actions":[],"conditions":["x"]}`, matrix.CodeBadJSON},
		"condition no kind":   {pushrules.Underride, "a", `{"actions":[],"conditions":[{"key":"x"}]}`, matrix.CodeBadJSON},
		"long in condition":   {pushrules.Override, "a", `{"actions":[],"conditions":[{"kind":"event_match","pattern":"` + strings.Repeat("x", 600) + `"}]}`, matrix.CodeBadJSON},
		"too many conditions": {pushrules.Override, "a", `{"actions":[],"conditions":[{"kind":"x"}` + strings.Repeat(`,{"kind":"x"}`, pushrules.MaxConditions) + `]}`, matrix.CodeBadJSON},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := pushrules.Rules{}.Put(tt.kind, tt.id, []byte(tt.body), "", "")
			requireCode(t, err, tt.code)
		})
	}
}

func TestPutIsBounded(t *testing.T) {
	r := pushrules.Rules{}
	for i := range pushrules.MaxRules {
		r.Sender = append(r.Sender, pushrules.Rule{RuleID: fmt.Sprintf("@u%d:x", i)})
	}
	_, err := r.Put(pushrules.Sender, "@new:x", []byte(`{"actions":[]}`), "", "")
	requireCode(t, err, matrix.CodeTooLarge)
	_, err = r.Put(pushrules.Sender, "@u5:x", []byte(`{"actions":[]}`), "", "@u9:x")
	require.NoError(t, err)
}

func TestDelete(t *testing.T) {
	r := put(t, put(t, pushrules.Rules{}, pushrules.Override, "a", `{"actions":[]}`), pushrules.Override, "b", `{"actions":[]}`)
	less, err := r.Delete(pushrules.Override, "b")
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, ids(less.Ruleset(alice).Override))
	require.Equal(t, []string{"b", "a"}, ids(r.Ruleset(alice).Override))
	_, err = less.Delete(pushrules.Override, "b")
	requireCode(t, err, matrix.CodeNotFound)
	_, err = less.Delete(pushrules.Room, "a")
	requireCode(t, err, matrix.CodeNotFound)
	_, err = less.Delete(pushrules.Override, pushrules.RuleMaster)
	requireCode(t, err, matrix.CodeInvalidParam)
	_, err = less.Delete(pushrules.Override, ".m.rule.unknown")
	requireCode(t, err, matrix.CodeNotFound)
}

func TestChangePredefined(t *testing.T) {
	r := pushrules.Rules{}
	changed, err := r.SetActions(pushrules.Underride, ".m.rule.message", nil)
	require.NoError(t, err)
	changed, err = changed.SetEnabled(pushrules.Content, ".m.rule.contains_user_name", false)
	require.NoError(t, err)
	rule, err := changed.Get(alice, pushrules.Underride, ".m.rule.message")
	require.NoError(t, err)
	require.Equal(t, []pushrules.Action{}, rule.Actions)
	require.True(t, rule.Default && rule.Enabled)
	require.False(t, evaluate(changed, text(t, "alice"), group()).Notify)
	require.True(t, evaluate(r, text(t, "alice"), group()).Highlight, "the receiver changed")

	again, err := changed.SetEnabled(pushrules.Underride, ".m.rule.message", false)
	require.NoError(t, err)
	rule, err = again.Get(alice, pushrules.Underride, ".m.rule.message")
	require.NoError(t, err)
	require.False(t, rule.Enabled)
	require.Empty(t, rule.Actions)

	for _, tt := range []struct {
		kind pushrules.Kind
		id   string
	}{{pushrules.Override, ".m.rule.message"}, {pushrules.Override, ".m.rule.x"}, {pushrules.Room, "!x:y"}, {pushrules.Room, pushrules.RuleMaster}} {
		_, err = r.SetEnabled(tt.kind, tt.id, true)
		requireCode(t, err, matrix.CodeNotFound)
		_, err = r.SetActions(tt.kind, tt.id, nil)
		requireCode(t, err, matrix.CodeNotFound)
		_, err = r.Get(alice, tt.kind, tt.id)
		requireCode(t, err, matrix.CodeNotFound)
	}
}

func TestStorage(t *testing.T) {
	r := put(t, pushrules.Rules{}, pushrules.Override, "a", `{"actions":["notify",{"set_tweak":"sound","value":"x"},{"set_tweak":"highlight"}],"conditions":[{"kind":"org.example","own":{"x":[1]}}]}`)
	r = put(t, r, pushrules.Content, "b", `{"actions":[],"pattern":"cake*lie"}`)
	r = put(t, r, pushrules.Room, string(room), `{"actions":[]}`)
	r = put(t, r, pushrules.Sender, string(bob), `{"actions":[]}`)
	r = put(t, r, pushrules.Underride, "u", `{"actions":[]}`)
	r, err := r.SetEnabled(pushrules.Override, pushrules.RuleMaster, true)
	require.NoError(t, err)
	r, err = r.SetActions(pushrules.Underride, ".m.rule.message", nil)
	require.NoError(t, err)

	stored, err := r.Encode()
	require.NoError(t, err)
	read, err := pushrules.Decode(stored)
	require.NoError(t, err)
	want, err := json.Marshal(r.Ruleset(alice))
	require.NoError(t, err)
	got, err := json.Marshal(read.Ruleset(alice))
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(got))
	require.Contains(t, string(got), `{"kind":"org.example","own":{"x":[1]}}`)

	empty, err := pushrules.Decode(nil)
	require.NoError(t, err)
	require.Equal(t, pushrules.Rules{}, empty)
	_, err = pushrules.Decode([]byte(`[`))
	require.Error(t, err)
}

func TestParseKind(t *testing.T) {
	for _, s := range []string{"override", "content", "room", "sender", "underride"} {
		k, err := pushrules.ParseKind(s)
		require.NoError(t, err)
		require.NotNil(t, (&pushrules.Rules{}).Ruleset(alice).Kind(k))
	}
	_, err := pushrules.ParseKind("device")
	requireCode(t, err, matrix.CodeInvalidParam)
}

func TestParseBodies(t *testing.T) {
	actions, err := pushrules.ParseActionsBody([]byte(` {"actions":["dont_notify","notify",{"value":"x","set_tweak":"sound"}]}`))
	require.NoError(t, err)
	raw, err := json.Marshal(actions)
	require.NoError(t, err)
	require.JSONEq(t, `["notify",{"set_tweak":"sound","value":"x"}]`, string(raw))
	for body, code := range map[string]matrix.ErrCode{`{`: matrix.CodeNotJSON, `{}`: matrix.CodeMissingParam, `[]`: matrix.CodeBadJSON, `{"actions":["x"]}`: matrix.CodeInvalidParam} {
		_, err = pushrules.ParseActionsBody([]byte(body))
		requireCode(t, err, code)
	}
	for body, want := range map[string]bool{`{"enabled":true}`: true, `{"enabled":true,"enabled":false}`: false} {
		enabled, err := pushrules.ParseEnabledBody([]byte(body))
		require.NoError(t, err)
		require.Equal(t, want, enabled)
	}
	for body, code := range map[string]matrix.ErrCode{`x`: matrix.CodeNotJSON, `{}`: matrix.CodeMissingParam, `{"Enabled":true}`: matrix.CodeMissingParam, `[]`: matrix.CodeBadJSON, `{"enabled":"true"}`: matrix.CodeBadJSON, `{"enabled":null}`: matrix.CodeBadJSON} {
		_, err = pushrules.ParseEnabledBody([]byte(body))
		requireCode(t, err, code)
	}
}

func FuzzPut(f *testing.F) {
	f.Add("override", "a", []byte(`{"actions":["notify",{"set_tweak":"sound","value":"x"}],"conditions":[{"kind":"event_match","key":"content.body","pattern":"a*?b"}]}`), "a then b")
	f.Add("content", "a", []byte(`{"actions":[],"pattern":"*?日*"}`), "今日は")
	f.Add("underride", "a", []byte(`{"actions":[],"conditions":[{"kind":"event_property_contains","key":"a\\.b","value":[]},{"kind":"room_member_count","is":"<="}]}`), "")
	f.Add("room", "!room:example.org", []byte(`{"actions":["dont_notify"]}`), "x")
	f.Fuzz(func(t *testing.T, kind, id string, body []byte, text string) {
		k, err := pushrules.ParseKind(kind)
		if err != nil {
			return
		}
		r, err := pushrules.Rules{}.Put(k, id, body, "", "")
		if err != nil {
			require.NotEqual(t, 500, matrix.AsError(err).Status)
			return
		}
		stored, err := r.Encode()
		require.NoError(t, err)
		read, err := pushrules.Decode(stored)
		require.NoError(t, err)
		e := build(t, "m.room.message", nil, object{"body": text})
		require.Equal(t, evaluate(r, e, group()).RuleID, evaluate(read, e, group()).RuleID)
	})
}
