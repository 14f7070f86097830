package syncroom_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAccountDataIsRefused has the error codes of account data of a room, as its OpenAPI file lists them.
func TestAccountDataIsRefused(t *testing.T) {
	g := onSQLite(t)
	alice := g.client("alice")
	room := alice.create(nil)
	own := "/user/" + alice.user + "/rooms/" + esc(room) + "/account_data/"
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"not set":          {http.MethodGet, own + "m.x", "", 404, "M_NOT_FOUND"},
		"another's":        {http.MethodGet, "/user/@bob:hs/rooms/" + esc(room) + "/account_data/m.x", "", 403, "M_FORBIDDEN"},
		"no room":          {http.MethodGet, "/user/" + alice.user + "/rooms/room/account_data/m.x", "", 400, "M_INVALID_PARAM"},
		"set another's":    {http.MethodPut, "/user/@bob:hs/rooms/" + esc(room) + "/account_data/m.x", "{}", 403, "M_FORBIDDEN"},
		"set in no room":   {http.MethodPut, "/user/" + alice.user + "/rooms/room/account_data/m.x", "{}", 400, "M_INVALID_PARAM"},
		"no JSON":          {http.MethodPut, own + "m.x", "{", 400, "M_NOT_JSON"},
		"no object":        {http.MethodPut, own + "m.x", "[]", 400, "M_BAD_JSON"},
		"read marker":      {http.MethodPut, own + "m.fully_read", "{}", 405, "M_BAD_JSON"},
		"rule that is not": {http.MethodPut, "/pushrules/global/override/x?before=y", `{"actions":[]}`, 400, "M_UNKNOWN"},
	} {
		a := alice.do(alice.handler(), c.method, c.path, c.body)
		require.Equal(t, c.status, a.status, "%s: %s", name, a.body)
		require.Equal(t, c.code, a.object()["errcode"], name)
	}
}
