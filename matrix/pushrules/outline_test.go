package pushrules_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/event"
	"hongyan/matrix/pushrules"
)

// dice makes random events and rules that have much to do with each other.
type dice struct {
	*rand.Rand
	t *testing.T
}

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

func (d dice) body() string {
	words := make([]string, d.IntN(6))
	for i := range words {
		words[i] = pick(d, "hello", "ALICE", "alice", "Alice L.", "@room", "malice", "cake", "lie", "жора", "", "Alice_L", "L", "(cake)", "K\u212Aelvin")
	}
	return strings.Join(words, pick(d, " ", "-", ""))
}

func (d dice) event() *event.Event {
	content := object{}
	if d.IntN(4) > 0 {
		content["body"] = pick[any](d, d.body(), d.body(), d.body(), 7, nil)
	}
	if d.IntN(2) == 0 {
		content["msgtype"] = pick(d, "m.text", "m.notice")
	}
	if d.IntN(2) == 0 {
		mentions := object{}
		if d.IntN(2) == 0 {
			mentions["user_ids"] = pick[any](d, []any{string(alice)}, []any{string(bob), 3, string(alice)}, []any{}, "x", many(60))
		}
		if d.IntN(3) == 0 {
			mentions["room"] = pick[any](d, true, false, "true")
		}
		content["m.mentions"] = mentions
	}
	if d.IntN(3) == 0 {
		content["m.relates_to"] = object{"rel_type": pick(d, "m.replace", "m.thread"), "event_id": "$a"}
	}
	if d.IntN(3) == 0 {
		content["membership"] = pick(d, "invite", "join")
	}
	var key *string
	if d.IntN(4) == 0 {
		key = ptr(pick(d, "", string(alice), "@ALICE:example.org", string(bob)))
	}
	types := []string{
		"m.room.message", "m.room.message", "m.room.encrypted", "m.reaction", "m.room.member", "m.room.tombstone", "m.call.invite",
		"m.room.server_acl", "org.custom", "M.Room.Message",
	}
	return build(d.t, pick(d, types...), key, content)
}

func many(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = fmt.Sprintf("@u%d:example.org", i)
	}
	return append(list, string(alice))
}

func (d dice) rules() pushrules.Rules {
	var r pushrules.Rules
	for range d.IntN(3) {
		condition := pick(d,
			`{"kind":"event_match","key":"room_id","pattern":"!room:example.org"}`, `{"kind":"event_match","key":"room_id","pattern":"!o*"}`,
			`{"kind":"event_match","key":"sender","pattern":"@bob*"}`, `{"kind":"event_match","key":"type","pattern":"m.room.*"}`,
			`{"kind":"event_match","key":"content.body","pattern":"cake"}`, `{"kind":"event_match","key":"content.body","pattern":"c*e"}`,
			`{"kind":"event_match","key":"content.msgtype","pattern":"m.text"}`, `{"kind":"room_member_count","is":"2"}`,
			`{"kind":"sender_notification_permission","key":"room"}`, `{"kind":"sender_notification_permission","key":"odd"}`,
			`{"kind":"contains_display_name"}`, `{"kind":"unknown"}`,
			`{"kind":"event_property_is","key":"content.m\\.relates_to.rel_type","value":"m.thread"}`,
			`{"kind":"event_property_contains","key":"content.m\\.mentions.user_ids","value":"@bob:example.org"}`,
		)
		actions := pick(d, `[]`, `["notify"]`, `["notify",{"set_tweak":"highlight"}]`)
		kind := pick(d, pushrules.Override, pushrules.Underride)
		r = put(d.t, r, kind, fmt.Sprint("r", d.IntN(9)), `{"conditions":[`+condition+`],"actions":`+actions+`}`)
	}
	if d.IntN(3) == 0 {
		r = put(d.t, r, pushrules.Content, "c", `{"pattern":"`+pick(d, "cake", "c?ke", "l*e", "жора", "")+`","actions":["notify",{"set_tweak":"highlight"}]}`)
	}
	if d.IntN(4) == 0 {
		r = put(d.t, r, pushrules.Room, string(room), `{"actions":`+pick(d, `[]`, `["notify"]`)+`}`)
	}
	if d.IntN(4) == 0 {
		r = put(d.t, r, pushrules.Sender, string(bob), `{"actions":`+pick(d, `[]`, `["notify"]`)+`}`)
	}
	for _, rule := range r.Ruleset(alice).Override {
		if rule.Default && d.IntN(6) == 0 {
			var err error
			r, err = r.SetEnabled(pushrules.Override, rule.RuleID, !rule.Enabled)
			require.NoError(d.t, err)
		}
	}
	return r
}

// Whatever an outline tells must be what the event itself says.
func TestOutlineTellsTheSame(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2)), t}
	known := 0
	const rounds = 20_000
	for range rounds {
		e := d.event()
		power := int64(pick(d, 0, 50, 100))
		levels := pick(d, nil, map[string]int64{"room": 0}, map[string]int64{"room": 51, "odd": 50})
		need := func(key string) int64 {
			if l, ok := levels[key]; ok {
				return l
			}
			return 50
		}
		c := pushrules.Circumstances{
			Members: pick(d, 2, 3), SenderCanNotify: func(key string) bool { return power >= need(key) },
		}
		prepared := pushrules.Prepare(e, c)
		o := prepared.Outline(power, levels)
		words := pushrules.ParseWords(o.Words.Bytes())
		require.Equal(t, o.Words, words)
		name := pick(d, "Alice L.", "", "жора", "cake")
		rules := d.rules().Compile(alice)
		want := rules.Evaluate(prepared, name)
		got, ok := rules.EvaluateOutline(o, room, name)
		if !ok {
			continue
		}
		known++
		require.Equal(t, want, got, "%s\n%s", e.JSON(), name)
		require.Equal(t, rules.Evaluate(pushrules.Prepare(e, o.Circumstances()), name), want, "the circumstances are the same")
	}
	require.Greater(t, known, rounds*6/10, "an outline tells most")
}

func TestOutlineOfOwnEvents(t *testing.T) {
	o := pushrules.Prepare(text(t, "hi"), group()).Outline(0, nil)
	_, known := pushrules.Rules{}.Compile(bob).EvaluateOutline(o, room, "")
	require.True(t, known)
}

// What an event says without naming anybody needs no look at the event itself.
func TestOutlineSufficesForOtherWords(t *testing.T) {
	rules := put(t, pushrules.Rules{}, pushrules.Content, "k", `{"pattern":"gooseberry","actions":["notify"]}`).Compile(alice)
	unknown := 0
	for i := range 1000 {
		e := text(t, fmt.Sprintf("the %d wild geese carry letters over %d mountains to the river", i, 7*i))
		if _, known := rules.EvaluateOutline(pushrules.Prepare(e, group()).Outline(0, nil), room, "Alice L."); !known {
			unknown++
		}
	}
	require.Less(t, unknown, 100)
}

func BenchmarkEvaluateOutline(b *testing.B) {
	e := text(b, "the wild geese carry letters over the mountains to the river")
	o := pushrules.Prepare(e, group()).Outline(0, nil)
	rules := pushrules.Rules{}.Compile(alice)
	for b.Loop() {
		rules.EvaluateOutline(o, room, "Alice L.")
	}
}

func BenchmarkOutline(b *testing.B) {
	e := text(b, "the wild geese carry letters over the mountains to the river")
	for b.Loop() {
		pushrules.Prepare(e, group()).Outline(0, nil)
	}
}
