package upstreamtest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// runForward tests httpx.Forward over the upstream, behind a real listener.
func runForward(t *testing.T, open Open) {
	for name, body := range map[string]func(*testing.T, Open){
		"answers whole":          forwardWhole,
		"streams":                forwardStreams,
		"the client goes away":   forwardClientGone,
		"a panic before answers": forwardPanicEarly,
		"a panic within answers": forwardPanicLate,
		"a parked poll":          forwardParked,
	} {
		t.Run(name, func(t *testing.T) { body(t, open) })
	}
}

// gateway serves Forward on a listener, and 503 when it fails.
func gateway(t *testing.T, rt http.RoundTripper) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.SetCaller(r.Header, httpx.Caller{UserID: "@a:b"})
		if err := httpx.Forward(w, r, rt); err != nil && !httpx.IsClientGone(r, err) {
			httpx.WriteError(w, r, matrix.Unavailable(err))
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return server
}

func forwardWhole(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", strings.Join([]string{
			httpx.CallerOf(r).UserID, r.URL.EscapedPath(), r.URL.RawQuery, r.Host,
			r.Header.Get("Keep-Alive") + r.Header.Get("X-Hop") + r.Header.Get("Upgrade"), r.Header.Get("X-Forwarded-For"),
		}, " "))
		w.Header().Set("Keep-Alive", "timeout=7")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body)
	}))
	server := gateway(t, rt)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST /a%2Fb//c/../?x=1;y HTTP/1.1\r\nHost: chat.test\r\nX-Hongyan-User: @evil:b\r\n"+
		"Connection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 4\r\n\r\nbody")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.Equal(t, "body", string(body))
	require.Equal(t, "@a:b /a%2Fb//c/../ x=1;y chat.test  192.0.2.1", res.Header.Get("X-Seen"))
	require.Empty(t, res.Header.Get("Keep-Alive"))
}

func forwardStreams(t *testing.T, open Open) {
	next := make(chan string)
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for word := range next {
			_, _ = io.WriteString(w, word)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	server := gateway(t, rt)
	go func() { next <- "first" }()
	res, err := server.Client().Do(newOutgoing(t, server.URL))
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	buf := make([]byte, 5)
	_, err = io.ReadFull(res.Body, buf)
	require.NoError(t, err)
	next <- "other" // only after the first has arrived
	_, err = io.ReadFull(res.Body, buf)
	require.NoError(t, err)
	require.Equal(t, "other", string(buf))
	close(next)
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Empty(t, rest)
}

func newOutgoing(t *testing.T, url string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	return r
}

func forwardClientGone(t *testing.T, open Open) {
	started, ended := make(chan struct{}), make(chan error, 1)
	rt := open(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		ended <- r.Context().Err()
	}))
	server := gateway(t, rt)
	r := newOutgoing(t, server.URL)
	ctx, cancel := context.WithCancel(r.Context())
	result := make(chan error, 1)
	go func() {
		_, err := server.Client().Do(r.WithContext(ctx)) //nolint:bodyclose // it fails
		result <- err
	}()
	await(t, "start", started)
	cancel()
	require.Error(t, await(t, "client's error", result))
	require.Error(t, await(t, "handler's end", ended))
}

func forwardPanicEarly(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Half", "set")
		panic(http.ErrAbortHandler)
	}))
	server := gateway(t, rt)
	res, err := server.Client().Do(newOutgoing(t, server.URL))
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Contains(t, string(body), "M_UNKNOWN")
	require.Empty(t, res.Header.Get("X-Half"))
}

func forwardPanicLate(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "1")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	server := gateway(t, rt)
	res, err := server.Client().Do(newOutgoing(t, server.URL))
	require.NoError(t, err)
	_, err = io.ReadAll(res.Body)
	require.Error(t, err)
	require.NoError(t, res.Body.Close())
}

func forwardParked(t *testing.T, open Open) {
	release, started := make(chan struct{}), make(chan struct{})
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-release
		_, _ = io.WriteString(w, "{}")
	}))
	server := gateway(t, rt)
	result := make(chan string, 1)
	r := newOutgoing(t, server.URL)
	go func() {
		res, err := server.Client().Do(r)
		if err != nil {
			result <- err.Error()
			return
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		result <- string(body)
	}()
	await(t, "start", started)
	close(release)
	require.Equal(t, "{}", await(t, "answer", result))
}
