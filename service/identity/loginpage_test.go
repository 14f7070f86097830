package identity_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// browser is as much of a browser as the page's script needs: it fills in the form, and prints what the client that
// opened the page is told, and what the user reads.
const browser = `
const { origin, search, user, password, script } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const said = { textContent: "" }, lead = { textContent: "" };
let submit, told = null;
const form = {
  elements: { user: { value: user }, password: { value: password } }, remove() {},
  addEventListener(_, listener) { submit = listener; },
};
globalThis.document = { querySelector: (q) => ({ form, "[role=alert]": said, p: lead })[q] };
globalThis.location = { search };
globalThis.window = { matrixLogin: { onLogin(answer) { told = answer; } } };
const web = fetch;
globalThis.fetch = (path, options) => web(origin + path, options);
eval(script);
submit({ preventDefault() {}, target: form }).then(() => console.log(JSON.stringify({ told, said: said.textContent })));
`

func TestLoginPage(t *testing.T) {
	g := onSQLite(t, nil)
	g.register("alice")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.url+"/_matrix/static/client/login/?device_id=PHONE", nil)
	require.NoError(t, err)
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(raw))
	require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
	script := scripts.FindStringSubmatch(string(raw))
	require.NotNil(t, script, string(raw))
	sum := sha256.Sum256([]byte(script[1]))
	require.Contains(t, resp.Header.Get("Content-Security-Policy"),
		"script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")

	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node, which the README asks for, is not installed")
	}
	submit := func(password string) (out struct {
		Told map[string]any `json:"told"`
		Said string         `json:"said"`
	}) {
		in, err := json.Marshal(obj{
			"origin": g.url, "search": "?device_id=PHONE&refresh_token=true&password=x",
			"user": "alice", "password": password, "script": script[1],
		})
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), node, "-e", browser)
		cmd.Stdin = strings.NewReader(string(in))
		text, err := cmd.Output()
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &out), string(text))
		return out
	}
	wrong := submit("wrong")
	require.Equal(t, "Invalid user name or password.", wrong.Said)
	require.Nil(t, wrong.Told)
	right := submit(secret)
	require.Empty(t, right.Said)
	require.Equal(t, "@alice:hs", right.Told["user_id"])
	require.Equal(t, "PHONE", right.Told["device_id"])
	require.NotEmpty(t, right.Told["refresh_token"])
	g.works(right.Told["access_token"].(string))
}
