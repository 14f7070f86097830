package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/app/cli"
	"hongyan/test/freeport"
)

// output is what a command prints, while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// run runs a command to its end.
func run(t *testing.T, stdin string, args ...string) (status int, out, errOut string) {
	t.Helper()
	var stdout, stderr output
	status = cli.Main(t.Context(), "v0-test", args, strings.NewReader(stdin), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// must runs a command that succeeds.
func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	status, out, errOut := run(t, stdin, args...)
	require.Zero(t, status, errOut)
	return out
}

// fails runs a command that does not.
func fails(t *testing.T, want string, args ...string) {
	t.Helper()
	status, _, errOut := run(t, "", args...)
	require.Equal(t, 1, status)
	require.Contains(t, errOut, want)
}

func TestVersion(t *testing.T) {
	require.Contains(t, must(t, "", "version"), "hongyan v0-test (go1.")
}

func TestHelp(t *testing.T) {
	out := must(t, "", "--help")
	for _, command := range []string{"serve", "user", "token", "reports", "media", "purge", "compact", "config", "backup", "restore", "migrate", "version", "bench"} {
		require.Contains(t, out, "\n  "+command)
	}
	out = must(t, "", "serve", "--help")
	require.Contains(t, out, "--rate-limits on|off")
	require.Contains(t, out, "(default localhost:8008)")
}

func TestMistakesNameWhatWasMeant(t *testing.T) {
	fails(t, "unknown flag --lsten: did you mean --listen?", "serve", "--lsten", ":1")
	fails(t, `want a duration such as 5s or 2m, not "soon"`, "serve", "--drain-timeout", "soon")
	fails(t, `unknown command "serv": did you mean "serve"?`, "serv")
	fails(t, `hongyan user: unknown command "lst": did you mean "list"?`, "user", "lst")
	fails(t, `hongyan user: unknown command "frob": want one of add, deactivate, list, lock, passwd, `, "user", "frob")
	fails(t, `hongyan token: unknown command "ad": did you mean "add"?`, "token", "ad")
	fails(t, `hongyan config: unknown command "chek": did you mean "check"?`, "config", "chek")
	fails(t, "unknown flag --user: did you mean --users?", "bench", "--user", "3")
	require.Contains(t, must(t, "", "user"), "\n  passwd")
	fails(t, `unknown command "x"`, "serve", "x")
	fails(t, "accepts 1 arg(s)", "user", "add")
}

func TestConfigCheckAndPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hongyan.yaml")
	require.NoError(t, os.WriteFile(file, []byte("server_name: chat.example.org\nregistration_shared_secret: hush\n"), 0o600))
	require.Equal(t, "the configuration is fine\n", must(t, "", "config", "check", "--config", file))
	out := must(t, "", "config", "print", "--config", file, "--listen", ":1")
	require.Contains(t, out, "\nserver_name: chat.example.org\n")
	require.Contains(t, out, "\nlisten: :1\n")
	require.NotContains(t, out, "hush")
	require.NoError(t, os.WriteFile(file, []byte("sever_name: x\n"), 0o600))
	fails(t, `did you mean "server_name"?`, "config", "check", "--config", file)

	fails(t, "configuration: data_dir /proc/foo", "config", "check", "--data-dir", "/proc/foo")
	fails(t, "configuration: gateway.tls_cert", "config", "check", "--gateway-tls-cert", "/nowhere.pem", "--gateway-tls-key", "/nowhere.pem")

	t.Setenv("HONGYAN_CONFIG", file)
	fails(t, `did you mean "server_name"?`, "config", "check")
	t.Setenv("HONGYAN_CONFIG", "")
	t.Setenv("HONGYAN_SERVER_NAME", "from.env")
	require.Contains(t, must(t, "", "config", "print"), "server_name: from.env")
}

// TestAdministration runs the server by its command and administers it by the others.
func TestAdministration(t *testing.T) {
	dir := t.TempDir()
	fails(t, "no server runs on the data directory", "user", "list", "--data-dir", dir)
	address, err := freeport.On(t.Context(), "127.0.0.1")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var stderr output
	done := make(chan int, 1)
	go func() {
		done <- cli.Main(ctx, "v0-test", []string{
			"serve", "--data-dir", dir, "--listen", address, "--registration", "closed", "--drain-spread", "0s",
			"--identity-passwords-memory-kib", "64", "--identity-passwords-iterations", "1",
		}, strings.NewReader(""), &output{}, &stderr)
	}()
	require.Eventually(t, func() bool { return strings.Contains(stderr.String(), "serves localhost") },
		time.Minute, 10*time.Millisecond, "it does not start")
	here := []string{"--data-dir", dir}
	with := func(args ...string) []string { return append(args, here...) }

	require.Equal(t, "made @alice:localhost\n", must(t, "correct horse\n", with("user", "add", "alice", "--admin")...))
	require.Equal(t, "made @bob:localhost\n", must(t, "battery staple", with("user", "add", "@bob:localhost")...))
	fails(t, "no password on standard input", with("user", "add", "carol")...)
	status, _, errOut := run(t, "x\n", with("user", "add", "alice")...)
	require.Equal(t, 1, status)
	require.NotContains(t, errOut, "M_USER_IN_USE", "a message for people")
	require.Equal(t, "set the password of bob\n", must(t, "a new one\n", with("user", "passwd", "bob")...))
	must(t, "", with("user", "suspend", "bob")...)
	out := must(t, "", with("user", "list")...)
	require.Regexp(t, `(?m)^@alice:localhost .* admin$`, out)
	require.Regexp(t, `(?m)^@bob:localhost .* suspended$`, out)
	must(t, "", with("user", "unsuspend", "bob")...)
	must(t, "", with("user", "lock", "bob")...)
	require.Regexp(t, `(?m)^@bob:localhost .* locked$`, must(t, "", with("user", "list")...))
	must(t, "", with("user", "unlock", "bob")...)
	require.Regexp(t, `(?m)^@bob:localhost .* active$`, must(t, "", with("user", "list")...))
	fails(t, "give --yes", with("user", "deactivate", "bob")...)
	must(t, "", with("user", "deactivate", "bob", "--yes")...)
	require.Regexp(t, `(?m)^@bob:localhost .* deactivated$`, must(t, "", with("user", "list")...))

	token := strings.TrimSpace(must(t, "", with("token", "add", "--uses", "3", "--lifetime", "24h")...))
	require.Regexp(t, `(?m)^`+token+` +0 +3 +2\d\d\d-`, must(t, "", with("token", "list")...))
	must(t, "", with("token", "remove", token)...)
	require.NotContains(t, must(t, "", with("token", "list")...), token)

	require.Regexp(t, `^TIME +BY +ROOM +EVENT +USER +REASON\n$`, must(t, "", with("reports")...))
	call := signIn(t, address)
	call(http.MethodPost, "/users/@alice:localhost/report", `{"reason":"it was\tme"}`)
	require.Regexp(t, `(?m)^2.* @alice:localhost  -  +-  +@alice:localhost  "it was\\tme"$`, must(t, "", with("reports", "--limit", "5")...))

	uploads := make([]string, 2)
	for i := range uploads {
		uploads[i] = call(http.MethodPost, "/_matrix/media/v3/upload", "the same")["content_uri"].(string)
	}
	require.Equal(t, "removed "+uploads[0]+" of @alice:localhost, 8 bytes\nthe content stays: 1 other media have the same (--copies removes them too)\n",
		must(t, "", with("media", "remove", uploads[0])...))
	fails(t, "no such media", with("media", "remove", uploads[0])...)
	fails(t, "Want a URI of this server", with("media", "remove", "mxc://elsewhere/id")...)
	require.Equal(t, "removed "+uploads[1]+" of @alice:localhost, 8 bytes\n", must(t, "", with("media", "remove", uploads[1], "--copies")...))
	purgeRoom(t, address, with)

	stop()
	require.Zero(t, <-done)
	require.NotContains(t, stderr.String(), "correct horse")
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// signIn returns what calls a server as alice.
func signIn(t *testing.T, at string) func(method, path, body string) map[string]any {
	t.Helper()
	token := ""
	call := func(method, path, body string) map[string]any {
		if !strings.HasPrefix(path, "/_matrix/") {
			path = "/_matrix/client/v3" + path
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+at+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		require.Equal(t, http.StatusOK, resp.StatusCode, path)
		var answer map[string]any
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
		return answer
	}
	in := call(http.MethodPost, "/login", `{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"correct horse"}`)
	token = in["access_token"].(string)
	return call
}

// purgeRoom removes messages of a room of alice's, and then the room, which she is in.
func purgeRoom(t *testing.T, at string, with func(args ...string) []string) {
	t.Helper()
	alice := signIn(t, at)
	room := alice(http.MethodPost, "/createRoom", `{}`)["room_id"].(string)
	for _, txn := range []string{"a", "b", "c"} {
		alice(http.MethodPut, "/rooms/"+room+"/send/m.room.message/"+txn, `{"msgtype":"m.text","body":"x"}`)
	}
	fails(t, "at least one of the flags", with("purge", room)...)
	fails(t, "were all set", with("purge", room, "--all", "--keep", "1h")...)
	fails(t, "no room id", with("purge", "#alias:hs", "--keep", "1h")...)
	fails(t, "no duration", with("purge", room, "--keep", "soon")...)
	fails(t, "no time", with("purge", room, "--before", "yesterday")...)
	fails(t, "yet to come", with("purge", room, "--before", "2999-01-01")...)
	fails(t, "There is no room", with("purge", "!nowhere:hs", "--keep", "1h")...)
	fails(t, "Nobody need leave", with("purge", room, "--keep", "1h", "--force")...)
	require.Equal(t, "removed 0 events, 0 bytes\n", must(t, "", with("purge", room, "--keep", "30d")...))
	require.Regexp(t, `^removed 2 events, \d+ bytes\n$`, must(t, "", with("purge", room, "--keep", "1ns")...), "the newest stays")
	fails(t, "is in the room", with("purge", room, "--all")...)
	require.Regexp(t, `^made 1 users leave\nremoved the room with \d+ events, \d+ bytes\n$`, must(t, "", with("purge", room, "--all", "--force")...))
	fails(t, "There is no room", with("purge", room, "--all")...)
	require.Regexp(t, `^the database had .* and has .*\n$`, must(t, "", with("compact")...))
}
