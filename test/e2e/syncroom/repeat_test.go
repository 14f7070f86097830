package syncroom_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/service/sync"
)

// TestRepetitionsAtAnotherInstance repeats each request that changes something, as a gateway does when the instance that it
// sent it to has died: maybe before, maybe after it was done.
func TestRepetitionsAtAnotherInstance(t *testing.T) {
	g, both := pair(t)
	alice := g.client("alice")
	room := alice.create(nil)
	event := alice.say(room, "hello")
	user, inRoom := "/user/"+esc(alice.user), "/rooms/"+esc(room)
	const rule = "/pushrules/global/content/r"
	tests := map[string]struct {
		path string
		body any
		// read is where what it does shows.
		read string
	}{
		"POST /user/{userId}/filter":             {user + "/filter", map[string]any{"room": map[string]any{}}, ""},
		"PUT /user/{userId}/account_data/{type}": {user + "/account_data/x", map[string]any{"a": 1}, user + "/account_data/x"},
		"PUT /user/{userId}/rooms/{roomId}/account_data/{type}": {
			user + inRoom + "/account_data/x", map[string]any{"a": 1}, user + inRoom + "/account_data/x",
		},
		"PUT /user/{userId}/rooms/{roomId}/tags/{tag}": {
			user + inRoom + "/tags/u.x", map[string]any{"order": 0.5}, user + inRoom + "/tags",
		},
		"DELETE /user/{userId}/rooms/{roomId}/tags/{tag}": {user + inRoom + "/tags/u.y", nil, user + inRoom + "/tags"},
		"PUT /pushrules/global/{kind}/{ruleId}": {
			rule + "2?before=r", map[string]any{"pattern": "y", "actions": []any{"notify"}}, "/pushrules/",
		},
		"PUT /pushrules/global/{kind}/{ruleId}/enabled": {rule + "/enabled", map[string]any{"enabled": false}, "/pushrules/"},
		"PUT /pushrules/global/{kind}/{ruleId}/actions": {rule + "/actions", map[string]any{"actions": []any{}}, "/pushrules/"},
		"POST /rooms/{roomId}/receipt/{receiptType}/{eventId}": {
			inRoom + "/receipt/m.read/" + esc(event), map[string]any{}, "",
		},
		"POST /rooms/{roomId}/read_markers": {
			inRoom + "/read_markers", map[string]any{"m.fully_read": event}, user + inRoom + "/account_data/m.fully_read",
		},
		"PUT /rooms/{roomId}/typing/{userId}": {
			inRoom + "/typing/" + esc(alice.user), map[string]any{"typing": true}, "",
		},
	}
	alice.ok(http.MethodPut, rule, map[string]any{"pattern": "x", "actions": []any{"notify"}})
	alice.ok(http.MethodPut, user+inRoom+"/tags/u.y", map[string]any{})
	for route, c := range tests {
		t.Run(route, func(t *testing.T) {
			method, _, _ := strings.Cut(route, " ")
			var answers, effects []string
			for _, n := range []*node{both[0], both[1], both[0]} {
				a := alice.do(n.handler, method, c.path, c.body)
				require.Equal(t, http.StatusOK, a.status, string(a.body))
				answers = append(answers, string(a.body))
				if c.read != "" {
					read := alice.do(n.handler, http.MethodGet, c.read, nil)
					require.Equal(t, http.StatusOK, read.status, string(read.body))
					effects = append(effects, string(read.body))
				} else {
					effects = append(effects, "")
				}
			}
			require.Equal(t, []string{answers[0], answers[0], answers[0]}, answers)
			require.Equal(t, []string{effects[0], effects[0], effects[0]}, effects)
		})
	}
	for _, r := range sync.Routes() {
		if r.Method != http.MethodGet && !r.Once {
			name := fmt.Sprint(r.Method, " ", strings.TrimPrefix(r.Path, "/_matrix/client/v3"))
			require.Contains(t, tests, name, "it is repeated and not tested")
		}
	}
}
