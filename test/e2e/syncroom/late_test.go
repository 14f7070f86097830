package syncroom_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

// keyed sends a request with a gateway's key, and its body as it comes.
func (c *client) keyed(n *node, key, method, path string, body io.Reader) answer {
	r := httptest.NewRequest(method, "/_matrix/client/v3"+path, body)
	httpx.SetCaller(r.Header, httpx.Caller{UserID: c.user, DeviceID: c.device, IdempotencyKey: key})
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	return answer{c.g.t, w.Code, w.Body.Bytes()}
}

// held is a body of which the first byte has been read by a handler that then hears nothing more.
func held() (body io.ReadCloser, begun <-chan struct{}, goOn func(rest string)) {
	r, w := io.Pipe()
	read := make(chan struct{})
	go func() {
		_, _ = w.Write([]byte(" ")) // JSON may begin with it
		close(read)
	}()
	return r, read, func(rest string) {
		_, _ = w.Write([]byte(rest))
		_ = w.Close()
	}
}

// TestLateAttemptsUndoNothing holds a request up in one instance, repeats it at the other one as a gateway does, asks for
// something else, and lets the first attempt go on.
func TestLateAttemptsUndoNothing(t *testing.T) {
	g, both := pair(t)
	alice := g.client("alice")
	room := alice.create(nil)
	first, second := alice.say(room, "one"), alice.say(room, "two")
	user := "/user/" + esc(alice.user)
	tag := user + "/rooms/" + esc(room) + "/tags/u.x"
	rule := "/pushrules/global/content/word"
	alice.ok(http.MethodPut, rule, map[string]any{"pattern": "x", "actions": []any{"notify"}})

	for name, tt := range map[string]struct {
		method, path, body string
		// other is what is asked for after the repetition, and get where it is seen.
		otherMethod, otherPath, other, get string
	}{
		"account data": {
			method: http.MethodPut, path: user + "/account_data/org.x", body: `{"x":1}`,
			other: `{"x":2}`, get: user + "/account_data/org.x",
		},
		"account data of a room": {
			method: http.MethodPut, path: user + "/rooms/" + esc(room) + "/account_data/org.x", body: `{"x":1}`,
			other: `{"x":2}`, get: user + "/rooms/" + esc(room) + "/account_data/org.x",
		},
		"tag": {method: http.MethodPut, path: tag, body: `{"order":0.1}`, other: `{"order":0.2}`, get: user + "/rooms/" + esc(room) + "/tags"},
		"push rule": {
			method: http.MethodPut, path: rule, body: `{"pattern":"y","actions":[]}`,
			other: `{"pattern":"z","actions":[]}`, get: rule,
		},
		"push rule, switched on as it is": {
			method: http.MethodPut, path: rule + "/enabled", body: `{"enabled":true}`,
			other: `{"enabled":false}`, get: rule + "/enabled",
		},
		"push rule's actions": {
			method: http.MethodPut, path: rule + "/actions", body: `{"actions":[]}`,
			other: `{"actions":["notify"]}`, get: rule + "/actions",
		},
		"m.fully_read": {
			method: http.MethodPost, path: "/rooms/" + esc(room) + "/read_markers", body: `{"m.fully_read":"` + first + `"}`,
			other: `{"m.fully_read":"` + second + `"}`, get: user + "/rooms/" + esc(room) + "/account_data/m.fully_read",
		},
		"m.fully_read, as a receipt": {
			method: http.MethodPost, path: "/rooms/" + esc(room) + "/receipt/m.fully_read/" + esc(first), body: `{}`,
			otherPath: "/rooms/" + esc(room) + "/receipt/m.fully_read/" + esc(second), other: `{}`,
			get: user + "/rooms/" + esc(room) + "/account_data/m.fully_read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			body, begun, goOn := held()
			late := make(chan answer, 1)
			go func() { late <- alice.keyed(both[0], "one", tt.method, tt.path, body) }()
			<-begun
			send := func(key, method, path, body string) {
				a := alice.keyed(both[1], key, method, path, bytes.NewBufferString(body))
				require.Equal(t, http.StatusOK, a.status, string(a.body))
				require.JSONEq(t, `{}`, string(a.body))
			}
			send("one", tt.method, tt.path, tt.body)
			otherPath := tt.otherPath
			if otherPath == "" {
				otherPath = tt.path
			}
			send("two", tt.method, otherPath, tt.other)
			want, err := json.Marshal(alice.ok(http.MethodGet, tt.get, nil))
			require.NoError(t, err)

			goOn(tt.body)
			a := <-late
			require.Equal(t, http.StatusOK, a.status, string(a.body))
			require.JSONEq(t, `{}`, string(a.body), "it is answered as the repetition was")
			got, err := json.Marshal(alice.ok(http.MethodGet, tt.get, nil))
			require.NoError(t, err)
			require.JSONEq(t, string(want), string(got), "what was asked for last holds")
		})
	}
}

// TestLateRemovalFindsNothing holds the removal of a tag up that is not there when it is repeated, and there afterwards.
func TestLateRemovalFindsNothing(t *testing.T) {
	g, both := pair(t)
	alice := g.client("alice")
	room := alice.create(nil)
	tags := "/user/" + esc(alice.user) + "/rooms/" + esc(room) + "/tags"
	require.Equal(t, http.StatusOK, alice.keyed(both[1], "one", http.MethodDelete, tags+"/u.x", http.NoBody).status)
	require.Equal(t, http.StatusOK,
		alice.keyed(both[1], "two", http.MethodPut, tags+"/u.x", bytes.NewBufferString(`{}`)).status)
	require.Equal(t, http.StatusOK, alice.keyed(both[0], "one", http.MethodDelete, tags+"/u.x", http.NoBody).status)
	require.Contains(t, alice.ok(http.MethodGet, tags, nil)["tags"], "u.x")
}

// TestWithoutKeysEveryRequestCounts sends requests that came through no gateway.
func TestWithoutKeysEveryRequestCounts(t *testing.T) {
	g := onSQLite(t)
	alice := g.client("alice")
	path := "/user/" + esc(alice.user) + "/account_data/org.x"
	for _, x := range []float64{1, 2, 1} {
		alice.ok(http.MethodPut, path, map[string]any{"x": x})
		require.Equal(t, x, alice.ok(http.MethodGet, path, nil)["x"])
	}
}
