package foreign_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/test/harness"
)

// patience is how long something that must happen may take: it only ends tests that have failed.
const patience = 60 * time.Second

// TestAServiceInPython has a small program that is not Go join a running server, be lost by the registry, come back by
// itself, leave, and come again and die.
func TestAServiceInPython(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PostgreSQL, etcd and a server")
	}
	python, err := exec.LookPath("python3")
	require.NoError(t, err)
	c := harness.StartCluster(t, harness.Topology{
		Name: "foreign", Groups: []harness.Group{{Targets: []string{"all"}, Count: 1}}, Registry: harness.RegistryEtcd, Postgres: true,
	})
	user, token := register(t, c.URL)
	const route = "/_echo/v1/whoami/a%2Fb"
	status, _ := send(t, "GET", c.URL+route, token, "")
	require.Equal(t, http.StatusNotFound, status, "before it is there")

	echo := harness.NewProcess("echo.py", nil, python, filepath.Join(harness.Root(), "test", "foreign", "echo.py"),
		"--etcd", "http://"+c.Registry.Addr())
	require.NoError(t, echo.Start())
	t.Cleanup(func() {
		echo.Stop(syscall.SIGKILL)
		if t.Failed() {
			t.Log(echo.Log())
		}
	})
	settles(t, http.StatusOK, c.URL+route, token)
	works := func() {
		t.Helper()
		status, answer := send(t, "GET", c.URL+route, token, "")
		require.Equal(t, http.StatusOK, status, answer)
		require.Equal(t, "a/b", answer["word"])
		require.Equal(t, user, answer["user_id"])
		require.NotEmpty(t, answer["device_id"])
		require.Empty(t, answer["authorization"], "it never sees a token")
		status, answer = send(t, "GET", c.URL+route, "", "")
		require.Equal(t, http.StatusUnauthorized, status, answer)
		status, answer = send(t, "POST", c.URL+"/_echo/v1/say", "", "hello")
		require.Equal(t, http.StatusOK, status, answer)
		require.Equal(t, "hello", answer["said"])
		require.NotEmpty(t, answer["idempotency_key"])
		status, answer = send(t, "POST", c.URL+"/_echo/v1/say", "", strings.Repeat("x", 5000))
		require.Equal(t, http.StatusRequestEntityTooLarge, status, answer)
	}
	works()

	require.Equal(t, 1, records(t, c.Registry.Addr()))
	c.Registry.Wipe(t)
	works() // nobody needs the registry to go on
	require.Eventually(t, func() bool { return records(t, c.Registry.Addr()) == 1 }, patience, 50*time.Millisecond)
	works()

	echo.Signal(syscall.SIGTERM)
	settles(t, http.StatusNotFound, c.URL+route, token)
	<-echo.Done()
	require.Zero(t, records(t, c.Registry.Addr()))

	died := harness.NewProcess("echo.py", nil, python, filepath.Join(harness.Root(), "test", "foreign", "echo.py"),
		"--etcd", "http://"+c.Registry.Addr())
	require.NoError(t, died.Start())
	t.Cleanup(func() { died.Stop(syscall.SIGKILL) })
	settles(t, http.StatusOK, c.URL+route, token)
	died.Stop(syscall.SIGKILL)
	status, answer := send(t, "GET", c.URL+route, token, "")
	require.Equal(t, http.StatusServiceUnavailable, status, answer)
	require.Positive(t, answer["retry_after_ms"])
	settles(t, http.StatusNotFound, c.URL+route, token) // when the registry and it itself have said nothing for a while

	status, answer = send(t, "GET", c.URL+"/_matrix/client/v3/account/whoami", token, "")
	require.Equal(t, http.StatusOK, status, answer)
}

// register makes an account.
func register(t *testing.T, url string) (user, token string) {
	t.Helper()
	status, answer := send(t, "POST", url+"/_matrix/client/v3/register", "",
		`{"username":"alice","password":"a good password","auth":{"type":"m.login.dummy"}}`)
	require.Equal(t, http.StatusOK, status, answer)
	return answer["user_id"].(string), answer["access_token"].(string)
}

func send(t *testing.T, method, url, token, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	answer := map[string]any{}
	if err := json.Unmarshal(raw, &answer); err != nil {
		answer["raw"] = string(raw)
	}
	return res.StatusCode, answer
}

// settles waits until a route is answered with a status.
func settles(t *testing.T, status int, url, token string) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, _ := send(t, "GET", url, token, "")
		return got == status
	}, patience, 20*time.Millisecond)
}

// records counts the records of the service in etcd.
func records(t *testing.T, etcd string) int {
	t.Helper()
	from := []byte("/hongyan/instances/echo/")
	to := append(bytes.Clone(from[:len(from)-1]), '0') // the next character after the slash
	_, answer := send(t, "POST", "http://"+etcd+"/v3/kv/range", "", fmt.Sprintf(`{"key":%q,"range_end":%q,"count_only":true}`,
		base64.StdEncoding.EncodeToString(from), base64.StdEncoding.EncodeToString(to)))
	if answer["count"] == nil {
		return 0
	}
	require.Equal(t, "1", answer["count"])
	return 1
}
