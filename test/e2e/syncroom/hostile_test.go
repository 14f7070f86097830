package syncroom_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix/synctoken"
)

func TestHostileParametersAreRefusedOrHarmless(t *testing.T) {
	g := onSQLite(t)
	alice := g.client("alice")
	room := alice.create(nil)
	alice.sync()
	huge := synctoken.Token{}
	for shard := range synctoken.MaxShards {
		huge.SetRoom(shard, 1<<62)
	}
	for _, tt := range []struct {
		query string
		want  int
	}{
		{"timeout=-1", 400}, {"timeout=x", 400}, {"timeout=99999999999999999999", 400},
		{"full_state=maybe", 400}, {"set_presence=asleep", 400}, {"use_state_after=1", 400},
		{"since=%00", 400}, {"since=" + strings.Repeat("A", 70_000), 400}, {"since=" + alice.since[:10], 400},
		{"since=" + huge.String(), 200}, {"since=" + synctoken.Token{}.String(), 200},
		{"filter=%7B", 400}, {"filter=%7B%22room%22%3A%5B%5D%7D", 400}, {"filter=" + strings.Repeat("x", 5000), 400}, {"filter=%00", 400},
		{"filter=" + url.QueryEscape(`{"room":{"timeline":{"limit":-1}}}`), 400},
		{"filter=" + url.QueryEscape(`{"room":{"timeline":{"limit":9007199254740991}}}`), 200},
		{"filter=" + url.QueryEscape(strings.Repeat(`{"room":`, 200)+"1"+strings.Repeat("}", 200)), 400},
		{"filter=" + url.QueryEscape(`{"room":{"rooms":["`+room+`"],"timeline":{"types":["*","**","m.*"]}},"event_fields":["..","\\",""]}`), 200},
	} {
		a := alice.do(g.sync.handler, http.MethodGet, "/sync?"+tt.query, nil)
		require.Equal(t, tt.want, a.status, "%.80s: %.200s", tt.query, a.body)
		a.object()
	}
	for _, path := range []string{
		"/user/@alice:hs/account_data/%00", "/user/@alice:hs/account_data/%FF", "/user/@alice:hs/account_data/" + strings.Repeat("x", 300),
		"/user/@alice:hs/rooms/" + esc(room) + "/tags/" + strings.Repeat("x", 256), "/user/@alice:hs/rooms/" + esc(room) + "/tags/%00",
		"/pushrules/global/override/%00", "/pushrules/global/override/.m.rule.own", "/pushrules/global/override/a%2Fb",
	} {
		a := alice.do(g.sync.handler, http.MethodPut, path, map[string]any{"actions": []any{}, "conditions": []any{}})
		require.Equal(t, http.StatusBadRequest, a.status, "%.80s: %s", path, a.body)
	}
	for _, body := range []string{"{", "null", "[]", `"x"`, "{}x", "\xff", `{"a":NaN}`, strings.Repeat(`{"a":`, 2000)} {
		for _, path := range []string{
			"/user/@alice:hs/account_data/x", "/user/@alice:hs/rooms/" + esc(room) + "/tags/x",
			"/rooms/" + esc(room) + "/typing/@alice:hs", "/pushrules/global/override/x",
		} {
			a := alice.do(g.sync.handler, http.MethodPut, path, body)
			require.Equal(t, http.StatusBadRequest, a.status, "%s %.20s: %s", path, body, a.body)
		}
	}
}
