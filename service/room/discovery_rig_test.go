package room_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

// ask sends a request to a path below /_matrix/client/; a user of the name "" has no account.
func (g *rig) ask(method, user, path string, body any) answer {
	g.t.Helper()
	var payload []byte
	if text, ok := body.(string); ok {
		payload = []byte(text)
	} else if body != nil {
		var err error
		payload, err = json.Marshal(body)
		require.NoError(g.t, err)
	}
	r := httptest.NewRequest(method, "/_matrix/client/"+path, bytes.NewReader(payload))
	if user != "" {
		httpx.SetCaller(r.Header, httpx.Caller{UserID: userID(user), DeviceID: "D-" + user})
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Body.Bytes()}
}

// refused is a request with the answer that it must get.
type refused struct {
	name, method, user, path string
	body                     any
	status                   int
	code                     string
}

func (g *rig) refuse(cases []refused) {
	g.t.Helper()
	for _, c := range cases {
		if c.method == "" {
			c.method = http.MethodGet
		}
		a := g.ask(c.method, c.user, c.path, c.body)
		require.Equal(g.t, c.status, a.status, "%s: %s", c.name, a.body)
		require.Equal(g.t, c.code, a.code(), "%s: %s", c.name, a.body)
		if c.status >= 400 {
			require.NotEmpty(g.t, a.str("error"), c.name)
		}
	}
}

// found asks for a page of the directory.
func (g *rig) found(user string, body any) answer {
	g.t.Helper()
	a := g.ask(http.MethodPost, user, "v3/publicRooms", body)
	require.Equal(g.t, http.StatusOK, a.status, string(a.body))
	return a
}

// field collects a string of each object in an array of the answer.
func (a answer) field(list, key string) []string {
	values := []string{}
	for _, o := range a.list(list) {
		s, _ := o[key].(string)
		values = append(values, s)
	}
	return values
}

// state is an event of initial_state.
func state(eventType, key string, content any) map[string]any {
	return map[string]any{"type": eventType, "state_key": key, "content": content}
}

func escaped(id string) string { return url.PathEscape(id) }

// opaquePlace is a token of the directory that stands behind a room.
func opaquePlace(joined int, roomID string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"n":%d,"r":%q}`, joined, roomID))
}
