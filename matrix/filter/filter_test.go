package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/matrix/filter"
)

func parse(t testing.TB, s string) *filter.Filter {
	f, err := filter.Parse([]byte(s))
	require.NoError(t, err, s)
	return f
}

func TestParseWhole(t *testing.T) {
	f := parse(t, ` {
		"event_fields": ["type", "content.body"], "event_format": "federation", "unknown": [1],
		"presence": {"types": ["m.presence"], "limit": 5},
		"account_data": {"not_types": ["*"], "senders": ["@a:x"], "not_senders": ["@b:x"]},
		"room": {
			"rooms": ["!a:x"], "not_rooms": ["!b:x", "!Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"], "include_leave": true,
			"timeline": {"limit": 10, "types": ["m.room.*"], "contains_url": false, "rooms": [], "not_rooms": ["!c:x"],
				"related_by_rel_types": ["m.thread"], "related_by_senders": ["@a:x"], "rel_types": ["m.x"], "org.matrix.msc3874.not_rel_types": ["m.y"],
				"unread_thread_notifications": true},
			"state": {"lazy_load_members": true, "include_redundant_members": true},
			"ephemeral": {"types": []}, "account_data": {"limit": 0}
		}
	}`)
	require.Equal(t, []string{"type", "content.body"}, f.EventFields)
	require.Equal(t, filter.FormatFederation, f.EventFormat)
	require.Equal(t, 5, f.Presence.Limit)
	require.Equal(t, []string{"*"}, f.AccountData.NotTypes)
	require.True(t, f.Room.IncludeLeave)
	require.Equal(t, []string{}, f.Room.Timeline.Rooms)
	require.False(t, *f.Room.Timeline.ContainsURL)
	require.Equal(t, []string{"m.thread"}, f.Room.Timeline.RelatedByRelTypes)
	require.Equal(t, []string{"@a:x"}, f.Room.Timeline.RelatedBySenders)
	require.Equal(t, []string{"m.x"}, f.Room.Timeline.RelTypes)
	require.Equal(t, []string{"m.y"}, f.Room.Timeline.NotRelTypes)
	require.True(t, f.Room.Timeline.UnreadThreadNotifications)
	require.True(t, f.Room.State.LazyLoadMembers && f.Room.State.IncludeRedundantMembers)
	require.True(t, f.Room.Timeline.NeedsRelations() && f.Room.Timeline.PassesNone())
	require.True(t, f.Room.Ephemeral.PassesNone() && f.Room.AccountData.PassesNone())
	require.Equal(t, -1, f.Room.State.Limit)
	require.False(t, f.IsTrivial())
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct {
		in   string
		code matrix.ErrCode
	}{
		"nothing":             {``, matrix.CodeNotJSON},
		"no JSON":             {`{"room":`, matrix.CodeNotJSON},
		"bad UTF-8":           {"{\"event_fields\":[\"\xff\"]}", matrix.CodeNotJSON},
		"a list":              {`[]`, matrix.CodeBadJSON},
		"a number":            {`5`, matrix.CodeBadJSON},
		"too deep":            {strings.Repeat(`{"room":`, 200) + "1" + strings.Repeat("}", 200), matrix.CodeBadJSON},
		"room no object":      {`{"room":"x"}`, matrix.CodeBadJSON},
		"presence no object":  {`{"presence":[]}`, matrix.CodeBadJSON},
		"timeline no object":  {`{"room":{"timeline":"not_an_object"}}`, matrix.CodeBadJSON},
		"state no object":     {`{"room":{"state":1}}`, matrix.CodeBadJSON},
		"ephemeral no object": {`{"room":{"ephemeral":true}}`, matrix.CodeBadJSON},
		"types no list":       {`{"presence":{"types":"m.x"}}`, matrix.CodeBadJSON},
		"types not strings":   {`{"presence":{"types":[{}]}}`, matrix.CodeBadJSON},
		"not_types":           {`{"room":{"timeline":{"not_types":[1]}}}`, matrix.CodeBadJSON},
		"senders":             {`{"presence":{"senders":["alice"]}}`, matrix.CodeBadJSON},
		"not_senders":         {`{"presence":{"not_senders":["#a:x"]}}`, matrix.CodeBadJSON},
		"rooms":               {`{"room":{"rooms":["not_a_room_id"]}}`, matrix.CodeBadJSON},
		"timeline rooms":      {`{"room":{"timeline":{"rooms":["@a:x"]}}}`, matrix.CodeBadJSON},
		"related_by_senders":  {`{"room":{"timeline":{"related_by_senders":["x"]}}}`, matrix.CodeBadJSON},
		"limit negative":      {`{"presence":{"limit":-1}}`, matrix.CodeBadJSON},
		"limit float":         {`{"presence":{"limit":1.5}}`, matrix.CodeBadJSON},
		"limit string":        {`{"presence":{"limit":"1"}}`, matrix.CodeBadJSON},
		"limit huge":          {`{"presence":{"limit":99999999999999999999999}}`, matrix.CodeBadJSON},
		"boolean":             {`{"room":{"include_leave":"true"}}`, matrix.CodeBadJSON},
		"lazy":                {`{"room":{"state":{"lazy_load_members":1}}}`, matrix.CodeBadJSON},
		"contains_url":        {`{"room":{"state":{"contains_url":{}}}}`, matrix.CodeBadJSON},
		"format":              {`{"event_format":"xml"}`, matrix.CodeBadJSON},
		"format no string":    {`{"event_format":1}`, matrix.CodeBadJSON},
		"fields":              {`{"event_fields":{}}`, matrix.CodeBadJSON},
		"too many":            {`{"presence":{"types":["x"` + strings.Repeat(`,"x"`, filter.MaxList) + `]}}`, matrix.CodeBadJSON},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := filter.Parse([]byte(tt.in))
			require.Error(t, err)
			e := matrix.AsError(err)
			require.Equal(t, tt.code, e.Code, e.Message)
			require.Equal(t, 400, e.Status)
		})
	}
	_, err := filter.ParseRoomEvents([]byte(`{"types":1}`))
	require.Equal(t, matrix.CodeBadJSON, matrix.AsError(err).Code)
	_, err = filter.ParseRoomEvents([]byte(`[]`))
	require.Equal(t, matrix.CodeBadJSON, matrix.AsError(err).Code)
	_, err = filter.ParseRoomEvents([]byte(`{`))
	require.Equal(t, matrix.CodeNotJSON, matrix.AsError(err).Code)
}

func TestTrivial(t *testing.T) {
	require.True(t, filter.Default().IsTrivial())
	for _, s := range []string{
		`{}`, `{"room":{"timeline":{"limit":20},"state":{"lazy_load_members":true},"include_leave":true}}`, `{"event_fields":[],"event_format":"client"}`,
		`{"room":null,"presence":null,"event_format":null,"event_fields":null,"account_data":{"types":null,"limit":null,"not_types":[]}}`,
		`{"room":{"timeline":{"unread_thread_notifications":true,"not_rooms":[],"contains_url":null}}}`,
	} {
		require.True(t, parse(t, s).IsTrivial(), s)
	}
	for _, s := range []string{
		`{"event_fields":["type"]}`, `{"event_format":"federation"}`, `{"presence":{"types":[]}}`, `{"account_data":{"not_senders":["@a:x"]}}`,
		`{"room":{"rooms":[]}}`, `{"room":{"not_rooms":["!a:x"]}}`, `{"room":{"timeline":{"types":["m.x"]}}}`, `{"room":{"state":{"contains_url":true}}}`,
		`{"room":{"ephemeral":{"not_types":["*"]}}}`, `{"room":{"account_data":{"rooms":["!a:x"]}}}`, `{"room":{"timeline":{"related_by_rel_types":[]}}}`,
		`{"room":{"timeline":{"not_rel_types":["m.x"]}}}`,
	} {
		require.False(t, parse(t, s).IsTrivial(), s)
	}
}

func TestMatch(t *testing.T) {
	message := filter.Subject{Type: "m.room.message", Sender: "@a:x", RoomID: "!r:x"}
	change := func(f func(*filter.Subject)) filter.Subject { s := message; f(&s); return s }
	withURL := change(func(s *filter.Subject) { s.HasURL = true })
	thread := change(func(s *filter.Subject) { s.RelType = "m.thread" })
	tests := []struct {
		filter  string
		subject filter.Subject
		want    bool
	}{
		{`{}`, message, true},
		{`{"types":["m.room.message"]}`, message, true},
		{`{"types":["m.room.name"]}`, message, false},
		{`{"types":[]}`, message, false},
		{`{"types":["m.*"]}`, message, true},
		{`{"types":["*"]}`, message, true},
		{`{"types":["m.*.message"]}`, message, true},
		{`{"types":["*age"]}`, message, true},
		{`{"types":["*name"]}`, message, false},
		{`{"types":["m.room.messag?"]}`, message, false},
		{`{"types":["m.room.message*"]}`, message, true},
		{`{"types":["M.room.*"]}`, message, false},
		{`{"not_types":["m.room.*"]}`, message, false},
		{`{"types":["m.room.message"],"not_types":["m.room.message"]}`, message, false},
		{`{"not_types":["m.room.name"]}`, message, true},
		{`{"senders":["@a:x"]}`, message, true},
		{`{"senders":["@b:x"]}`, message, false},
		{`{"senders":[]}`, message, false},
		{`{"not_senders":["@a:x"]}`, message, false},
		{`{"senders":["@a:x"],"not_senders":["@a:x"]}`, message, false},
		{`{"rooms":["!r:x"]}`, message, true},
		{`{"rooms":["!s:x"]}`, message, false},
		{`{"not_rooms":["!r:x"]}`, message, false},
		{`{"contains_url":true}`, message, false},
		{`{"contains_url":false}`, message, true},
		{`{"contains_url":true}`, withURL, true},
		{`{"contains_url":false}`, withURL, false},
		{`{"rel_types":["m.thread"]}`, message, false},
		{`{"rel_types":["m.thread"]}`, thread, true},
		{`{"org.matrix.msc3874.rel_types":["m.thread"]}`, thread, true},
		{`{"not_rel_types":["m.thread"]}`, thread, false},
		{`{"not_rel_types":["m.thread"]}`, message, true},
	}
	for _, tt := range tests {
		f, err := filter.ParseRoomEvents([]byte(tt.filter))
		require.NoError(t, err)
		require.Equal(t, tt.want, f.Match(tt.subject), tt.filter)
		if f.PassesAll() {
			require.True(t, tt.want, tt.filter)
		}
		if f.PassesNone() {
			require.False(t, tt.want, tt.filter)
		}
	}
}

// TestManyElements: long lists are looked up, short ones read; both must say the same.
func TestManyElements(t *testing.T) {
	for _, n := range []int{1, 11, 12, 13, filter.MaxList} {
		senders := make([]string, n)
		for i := range senders {
			senders[i] = "@user" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + ":x"
		}
		raw, err := json.Marshal(map[string]any{"senders": senders})
		require.NoError(t, err)
		f, err := filter.ParseRoomEvents(raw)
		require.NoError(t, err)
		require.True(t, f.Match(filter.Subject{Sender: senders[n-1]}))
		require.False(t, f.Match(filter.Subject{Sender: "@other:x"}))
	}
}

func TestMatchRelation(t *testing.T) {
	f, err := filter.ParseRoomEvents([]byte(`{"related_by_rel_types":["m.thread"]}`))
	require.NoError(t, err)
	require.True(t, f.NeedsRelations())
	require.True(t, f.MatchRelation("m.thread", "@a:x"))
	require.False(t, f.MatchRelation("m.replace", "@a:x"))
	f, err = filter.ParseRoomEvents([]byte(`{"related_by_rel_types":["m.thread"],"related_by_senders":["@b:x"]}`))
	require.NoError(t, err)
	require.False(t, f.MatchRelation("m.thread", "@a:x"))
	require.True(t, f.MatchRelation("m.thread", "@b:x"))
}

func TestMatchRoom(t *testing.T) {
	f := parse(t, `{"room":{"rooms":["!a:x","!b:x"],"not_rooms":["!b:x"]}}`)
	require.True(t, f.Room.MatchRoom("!a:x"))
	require.False(t, f.Room.MatchRoom("!b:x"))
	require.False(t, f.Room.MatchRoom("!c:x"))
	require.True(t, filter.Default().Room.MatchRoom("!c:x"))
}

func TestLimit(t *testing.T) {
	f := parse(t, `{"presence":{"limit":0},"account_data":{"limit":5000},"room":{"timeline":{"limit":99999999999}}}`)
	require.Equal(t, 0, f.Presence.LimitOr(10, 100))
	require.Equal(t, 100, f.AccountData.LimitOr(10, 100))
	require.Equal(t, 100, f.Room.Timeline.LimitOr(10, 100))
	require.Equal(t, 10, f.Room.State.LimitOr(10, 100))
	require.True(t, f.Presence.PassesNone())
}

func TestFields(t *testing.T) {
	const event = `{"content":{"a.b":1,"body":"x","m.relates_to":{"event_id":"$a","rel_type":"m.thread"},"obj":{}},"event_id":"$e","sender":"@a:x","type":"m.x","unsigned":{"age":1}}`
	tests := map[string]string{
		`[]`:                                      event,
		`["type"]`:                                `{"type":"m.x"}`,
		`["type","event_id"]`:                     `{"event_id":"$e","type":"m.x"}`,
		`["content.body"]`:                        `{"content":{"body":"x"}}`,
		`["content.body","content"]`:              `{"content":{"a.b":1,"body":"x","m.relates_to":{"event_id":"$a","rel_type":"m.thread"},"obj":{}}}`,
		`["content","content.body"]`:              `{"content":{"a.b":1,"body":"x","m.relates_to":{"event_id":"$a","rel_type":"m.thread"},"obj":{}}}`,
		`["content.m\\.relates_to.rel_type"]`:     `{"content":{"m.relates_to":{"rel_type":"m.thread"}}}`,
		`["content.a\\.b","content.obj"]`:         `{"content":{"a.b":1,"obj":{}}}`,
		`["content.a.b"]`:                         `{}`,
		`["content.body.x"]`:                      `{}`,
		`["content.nothing","unsigned.age"]`:      `{"unsigned":{"age":1}}`,
		`["nothing"]`:                             `{}`,
		`["","."]`:                                `{}`,
		`["content.body","sender","content.obj"]`: `{"content":{"body":"x","obj":{}},"sender":"@a:x"}`,
	}
	for fields, want := range tests {
		f := parse(t, `{"event_fields":`+fields+`}`)
		require.Equal(t, "before"+want, string(f.AppendFields([]byte("before"), []byte(event))), fields)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"room":{"timeline":{"limit":10,"types":["m.*"],"rooms":["!a:x"]},"rooms":["!a:x"]},"event_fields":["content.body","a\\.b"]}`,
		`{"presence":{"senders":["@a:x"]},"event_format":"client"}`, `{"room":{"state":{"contains_url":true,"lazy_load_members":true}}}`, `{"event_fields":["a.a.a",""]}`, `[]`, `{"room":{"timeline":{"types":["***a*"]}}}`,
	} {
		f.Add([]byte(s), "m.room.message", []byte(`{"content":{"body":"x"},"a.b":{}}`))
	}
	f.Fuzz(func(t *testing.T, raw []byte, eventType string, event []byte) {
		_, _ = filter.ParseRoomEvents(raw)
		parsed, err := filter.Parse(raw)
		if err != nil {
			require.Contains(t, []matrix.ErrCode{matrix.CodeNotJSON, matrix.CodeBadJSON}, matrix.AsError(err).Code)
			return
		}
		s := filter.Subject{Type: eventType, Sender: "@a:x", RoomID: "!a:x"}
		matched := parsed.Room.Timeline.Match(s)
		require.False(t, matched && parsed.Room.Timeline.EventFilter.Types != nil && len(parsed.Room.Timeline.EventFilter.Types) == 0)
		if parsed.IsTrivial() {
			require.True(t, matched)
		}
		out := parsed.AppendFields(nil, event)
		if json.Valid(event) && len(event) > 0 && event[0] == '{' {
			require.True(t, json.Valid(out), "%s", out)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw := []byte(`{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":20,"unread_thread_notifications":true}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := filter.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
