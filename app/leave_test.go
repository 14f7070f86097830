package app_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server that stops answers who has not heard of it, and sends everybody away with the answer: no connection is closed
// under a request that was just sent on it.
func TestClientsAreSentAwayBeforeTheDoorsClose(t *testing.T) {
	s := start(t, t.TempDir(), map[string]string{"drain-spread": "2s"})
	token := s.register("alice")
	_, first := s.call("GET", "/_matrix/client/v3/sync", token, "")
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 2}}
	defer client.CloseIdleConnections()
	type answer struct {
		closes bool
		body   string
	}
	get := func(path string) answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(r)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
		return answer{resp.Close, string(body)}
	}
	require.False(t, get("/_matrix/client/v3/account/whoami").closes)

	polled := make(chan answer, 1)
	go func() { polled <- get("/_matrix/client/v3/sync?timeout=60000&since=" + first["next_batch"].(string)) }()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	require.Eventually(t, func() bool {
		return get("/_matrix/client/v3/account/whoami").closes
	}, time.Minute, time.Millisecond, "who asks while the server stops is answered, and sent away")
	poll := <-polled
	require.Contains(t, poll.body, first["next_batch"])
	require.True(t, poll.closes)
	<-stopped
}

// Both doors of a process close at once: a client that takes its time does not keep the one for other processes open.
func TestDoorsCloseTogether(t *testing.T) {
	d := newDeployment(t, "")
	d.flags["admin-listen"], d.flags["drain-timeout"], d.flags["drain-spread"] = "127.0.0.1:0", "2m", "10ms"
	s := d.start("all")
	who := "http://" + s.app.AdminAddr().String() + "/discovery/http_sd?port=grpc&service=room"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, who, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var groups []struct {
		Targets []string `json:"targets"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&groups))
	calls := groups[0].Targets[0]
	dial := func() error {
		conn, err := net.Dial("tcp", calls)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, dial())

	const body = `{"auth":{"type":"m.login.dummy"},"username":"alice","password":"correct horse"}`
	client, err := net.Dial("tcp", s.app.Addr().String())
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	_, err = fmt.Fprintf(client, "POST /_matrix/client/v3/register HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	require.NoError(t, err)
	answers := bufio.NewReader(client)
	line, err := answers.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue", "the server reads the body")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stop()
	}()
	require.Eventually(t, func() bool { return dial() != nil }, time.Minute, 10*time.Millisecond, "the other door is open")
	_, err = io.WriteString(client, body)
	require.NoError(t, err)
	_, err = answers.ReadString('\n') // the end of what it said before
	require.NoError(t, err)
	answer, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	<-stopped
}
