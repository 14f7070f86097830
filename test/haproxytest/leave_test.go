package haproxytest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/discovery"
	"hongyan/platform/registry/memory"
	"hongyan/test/haproxytest"
	"hongyan/test/harness"
)

// longDrain is longer than HAProxy takes to give up a server that does not answer its checks.
const longDrain = 5 * time.Second

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// A gateway that has left DNS and answers its checks with 404 gets nothing new, and answers in peace what it has. Another one
// at its address takes its place.
func TestOneThatLeavesAnswersWhatItHas(t *testing.T) {
	store := memory.NewStore()
	mine := store.Open()
	t.Cleanup(func() { require.NoError(t, mine.Close()) })
	proxy := haproxytest.Start(t, haproxytest.Config{
		DNS: nameServer(t, store), Name: "_http._tcp.gateway." + discovery.DefaultZone, Slots: 3,
	})
	a, b := newGateway(t, "a"), newGateway(t, "b")
	require.NoError(t, mine.Put(t.Context(), a.Instance))
	proxy.Await(t, a.HTTP)
	slow := make(chan error, 1)
	go func() { slow <- once(http.DefaultClient, http.MethodPost, proxy.URL+slowPath) }()
	<-a.slow
	require.NoError(t, mine.Put(t.Context(), b.Instance))
	proxy.Await(t, a.HTTP, b.HTTP)

	stop := load(t.Context(), proxy.URL)
	a.takesOver(t)
	a.leaving.Store(true)
	require.NoError(t, mine.Remove(t.Context(), a.Instance))
	proxy.Await(t, b.HTTP)
	before := a.served.Load()
	pause(t.Context(), longDrain)
	require.Equal(t, before, a.served.Load(), "it gets nothing new")
	select {
	case err := <-slow:
		require.Fail(t, "it was not answered yet", "%v", err)
	default:
	}
	close(a.answer)
	require.NoError(t, <-slow)
	a.server.Close()

	again := newGatewayAt(t, "c", a.HTTP)
	require.NoError(t, mine.Put(t.Context(), again.Instance))
	proxy.Await(t, a.HTTP, b.HTTP) // each once
	again.takesOver(t)
	_, failures := stop()
	require.Empty(t, failures)
}

// A server that is told to stop answers a request that takes long through HAProxy.
func TestAServerThatStopsAnswersWhatItHas(t *testing.T) {
	server := harness.Start(t, harness.Options{Args: []string{"--registration", "open", "--admin-listen", ""}})
	proxy := haproxytest.Start(t, haproxytest.Config{Servers: []string{strings.TrimPrefix(server.URL, "http://")}})
	proxy.Await(t, strings.TrimPrefix(server.URL, "http://"))
	const body = `{"auth":{"type":"m.login.dummy"},"username":"alice","password":"correct horse"}`
	client, err := net.Dial("tcp", strings.TrimPrefix(proxy.URL, "http://"))
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	_, err = fmt.Fprintf(client, "POST /_matrix/client/v3/register HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	require.NoError(t, err)
	answers := bufio.NewReader(client)
	line, err := answers.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue", "the server reads the body")

	server.Signal(syscall.SIGTERM)
	proxy.Await(t) // nobody gets anything new
	pause(t.Context(), longDrain)
	_, err = io.WriteString(client, body)
	require.NoError(t, err)
	_, err = answers.ReadString('\n') // the end of what it said before
	require.NoError(t, err)
	answer, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	<-server.Done()
}
