package openapi

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

var asJSON = http.Header{"Content-Type": {"application/json"}}

// Every operation's answers can be compared: nothing in the files is left out because it could not be read.
func TestEveryOperationIsRead(t *testing.T) {
	c := Open(t)
	if !c.Present() {
		t.Skip("the specification is not at hand")
	}
	require.NotEmpty(t, c.operations)
	for _, op := range c.operations {
		answers, err := c.of(op)
		require.NoError(t, err, op.ID)
		require.NotEmpty(t, answers, op.ID)
	}
}

func TestCheck(t *testing.T) {
	c := Open(t)
	if !c.Present() {
		t.Skip("the specification is not at hand")
	}
	for _, tt := range []struct {
		name, method, path string
		status             int
		header             http.Header
		body, wrong        string
	}{
		{"as it should be", "GET", "/_matrix/client/v3/account/whoami", 200, asJSON, `{"user_id":"@a:b"}`, ""},
		{"a field is missing", "GET", "/_matrix/client/v3/account/whoami", 200, asJSON, `{"device_id":"D"}`, "user_id"},
		{"a field of another type", "GET", "/_matrix/client/v3/account/whoami", 200, asJSON, `{"user_id":"@a:b","is_guest":1}`, "is_guest"},
		{"no JSON", "GET", "/_matrix/client/v3/account/whoami", 200, asJSON, `{`, "JSON"},
		{"another kind", "GET", "/_matrix/client/v3/account/whoami", 200, http.Header{"Content-Type": {"text/plain"}}, `hello`, "text/plain"},
		{"a status that it has not", "GET", "/_matrix/client/v3/account/whoami", 201, asJSON, `{}`, "no such status"},
		{"an error", "GET", "/_matrix/client/v3/account/whoami", 404, asJSON, `{"errcode":"M_UNRECOGNIZED","error":"x"}`, ""},
		{"an error without code", "GET", "/_matrix/client/v3/account/whoami", 404, asJSON, `{"error":"x"}`, "errcode"},
		{"no token where flows are listed", "POST", "/_matrix/client/v3/account/password", 401, asJSON, `{"errcode":"M_MISSING_TOKEN","error":"x"}`, ""},
		{"neither flows nor a code", "POST", "/_matrix/client/v3/account/password", 401, asJSON, `{"error":"x"}`, "flows"},
		{"a parameter", "GET", "/_matrix/client/v3/rooms/!a:b/state", 200, asJSON, `[]`, ""},
		{"a literal before a parameter", "GET", "/_matrix/client/v3/pushrules/global/", 200, asJSON, `{"room":1}`, "room"},
		{"a referenced schema", "GET", "/_matrix/client/v3/rooms/!a:b/state", 200, asJSON, `[{"type":"m.room.name"}]`, "missing"},
		{"nobody's path", "GET", "/somewhere", 200, asJSON, `{`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := c.Check(tt.method, tt.path, tt.status, tt.header, []byte(tt.body))
			if tt.wrong == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.wrong)
			}
		})
	}
}

func TestNothingIsCheckedWithoutTheSpecification(t *testing.T) {
	require.NoError(t, (&Checker{}).Check("GET", "/_matrix/client/v3/account/whoami", 200, asJSON, []byte(`{`)))
}
