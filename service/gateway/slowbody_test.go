package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

const bodyPath = "/_matrix/client/v3/slowbody"

// drip is the beginning of a body, and then a byte each time that the pause is over, until it is stopped.
type drip struct {
	io.Reader
	stopped chan struct{}
	once    sync.Once
}

func newDrip(begin string, pause time.Duration) *drip {
	d := &drip{stopped: make(chan struct{})}
	d.Reader = io.MultiReader(strings.NewReader(begin), drops{pause, d.stopped})
	return d
}

// Close stops it.
func (d *drip) Close() error {
	d.once.Do(func() { close(d.stopped) })
	return nil
}

type drops struct {
	pause   time.Duration
	stopped <-chan struct{}
}

func (d drops) Read(p []byte) (int, error) {
	timer := time.NewTimer(d.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		p[0] = ' '
		return 1, nil
	case <-d.stopped:
		return 0, io.ErrUnexpectedEOF
	}
}

// slowEdge is a gateway with a service behind the network that reads no body at early, and with clients of both protocols.
func slowEdge(t *testing.T, timeout time.Duration) (e *edge, clients map[string]*http.Transport) {
	t.Helper()
	network := overNetwork(t)
	e = newEdge(t, edgeOptions{
		routes: []httpx.Route{
			{Method: "POST", Path: bodyPath, Auth: httpx.AuthNone, Timeout: timeout, MaxBody: 2 << 20},
			{Method: "POST", Path: bodyPath + "/early", Auth: httpx.AuthNone, MaxBody: 2 << 20},
			{Method: "POST", Path: bodyPath + "/poll", LongPoll: true, Timeout: timeout},
			{Method: "POST", Path: bodyPath + "/stream/slowbody", Auth: httpx.AuthNone, Timeout: timeout, Stream: true},
		},
		transport: func(h http.Handler) http.RoundTripper {
			return network(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/early") {
					httpx.WriteJSON(w, http.StatusForbidden, map[string]any{"errcode": "M_FORBIDDEN", "much": strings.Repeat("x", 1<<20)})
					return
				}
				// Who serves has no bound of its own: the gateway's is what is tested.
				if strings.HasSuffix(r.URL.Path, "/slowbody") {
					if e.echo(w, r) != nil {
						panic(http.ErrAbortHandler)
					}
					return
				}
				h.ServeHTTP(w, r)
			}))
		},
	})
	server := httptest.NewUnstartedServer(e.service)
	server.Config.Protocols = httpx.ServerProtocols()
	server.Start()
	e.url = server.URL
	clients = map[string]*http.Transport{"HTTP/1.1": {}, "HTTP/2.0": httpx.NewTransport()}
	clients["HTTP/2.0"].HTTP2.PingTimeout = patience
	t.Cleanup(server.Close)
	for _, c := range clients {
		t.Cleanup(c.CloseIdleConnections)
	}
	return e, clients
}

// send sends a request whose body is as long as it says, or of unknown length where that is -1.
func send(t *testing.T, e *edge, client *http.Transport, path string, body io.Reader, length int64) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+path, body)
	require.NoError(t, err)
	r.ContentLength = length
	token("tok-alice")(r)
	if d, ok := body.(*drip); ok {
		defer func() { _ = d.Close() }()
	}
	res, err := client.RoundTrip(r)
	require.NoError(t, err)
	defer func() {
		_ = r.Body.Close() // before the answer, which would wait for a Read
		_ = res.Body.Close()
	}()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	require.NoError(t, json.Unmarshal(raw, &a.body), a.raw)
	return a
}

// A body that does not come within the route's time ends its request, though the service is behind the network.
func TestSlowBodiesEndBehindTheNetwork(t *testing.T) {
	e, clients := slowEdge(t, 200*time.Millisecond)
	for protocol, client := range clients {
		for _, pause := range []time.Duration{time.Hour, 20 * time.Millisecond} {
			for _, path := range []string{bodyPath, bodyPath + "/poll"} {
				for _, length := range []int64{10000, -1} {
					t.Run(fmt.Sprint(protocol, path, pause, length), func(t *testing.T) {
						a := send(t, e, client, path, newDrip("{", pause), length)
						require.Equal(t, 400, a.status, a.raw)
						require.Equal(t, "M_UNKNOWN", a.code())
					})
				}
			}
		}
	}
}

// An answer to half of a body does not wait for the other half.
func TestEarlyAnswersReachTheClient(t *testing.T) {
	e, clients := slowEdge(t, 0)
	for protocol, client := range clients {
		t.Run(protocol, func(t *testing.T) {
			a := send(t, e, client, bodyPath+"/early", newDrip("{", time.Hour), 100)
			require.Equal(t, 403, a.status)
			require.Len(t, a.body["much"], 1<<20)
			a = send(t, e, client, bodyPath+"/early", strings.NewReader(strings.Repeat(" ", 1<<20)), 1<<20)
			require.Equal(t, 403, a.status, "nor is it lost where the other half comes")
		})
	}
}

// The connection of a client that says nothing more is closed, and nothing of its body is taken for a request.
func TestHalfBodiesEndTheirConnection(t *testing.T) {
	for path, status := range map[string]int{bodyPath: 400, bodyPath + "/early": 403} {
		e, _ := slowEdge(t, 200*time.Millisecond)
		base, err := url.Parse(e.url)
		require.NoError(t, err)
		conn, err := net.Dial("tcp", base.Host)
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", path)
		require.NoError(t, err)
		reader := bufio.NewReader(conn)
		res, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		require.Equal(t, status, res.StatusCode)
		require.True(t, res.Close)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		_, err = reader.ReadByte()
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, conn.Close())
	}
}

// A large body passes, and its connection goes on without a deadline.
func TestLargeBodiesPass(t *testing.T) {
	e, clients := slowEdge(t, patience)
	for protocol, client := range clients {
		for _, length := range []int64{1 << 20, -1} {
			pieces := make([]io.Reader, 64)
			for i := range pieces {
				pieces[i] = strings.NewReader(strings.Repeat("x", 16<<10))
			}
			a := send(t, e, client, bodyPath, io.MultiReader(pieces...), length)
			require.Equal(t, 200, a.status, protocol)
			require.Empty(t, a.header.Get("Connection"))
			require.Len(t, e.body, 1<<20)
		}
		a := send(t, e, client, bodyPath, io.MultiReader(strings.NewReader(strings.Repeat("x", 2<<20+1))), -1)
		require.Equal(t, 413, a.status)
		require.Equal(t, "M_TOO_LARGE", a.code())
	}
}

// TestUnreadBodiesAreNotWaitedFor has bodies that never end come to requests that are answered without them: no route, another
// method, no token, a preflight.
func TestUnreadBodiesAreNotWaitedFor(t *testing.T) {
	e, _ := slowEdge(t, patience)
	target, err := url.Parse(e.url)
	require.NoError(t, err)
	for request, status := range map[string]int{
		"POST /nope": 404, "POST " + whoami: 405, "POST " + bodyPath + "/poll": 401, "OPTIONS " + bodyPath: 204,
	} {
		for _, sent := range []string{"", "{"} {
			conn, err := net.Dial("tcp", target.Host)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n%s", request, sent)
			require.NoError(t, err)
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			require.NoError(t, err, request)
			require.Equal(t, status, res.StatusCode, request)
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(t, err, request)
			require.NoError(t, res.Body.Close())
			_, err = in.ReadByte()
			require.ErrorIs(t, err, io.EOF, "%s: the connection ends", request)
		}
	}
}

// TestStreamedBodiesMayBeSlow has a body take longer than its route's time while it comes on, and end when it stops.
func TestStreamedBodiesMayBeSlow(t *testing.T) {
	const pause = time.Second
	e, clients := slowEdge(t, pause)
	for protocol, client := range clients {
		for _, length := range []int64{60, -1} {
			t.Run(fmt.Sprint(protocol, length), func(t *testing.T) {
				began := time.Now()
				d := newDrip("", pause/40)
				a := send(t, e, client, bodyPath+"/stream/slowbody", io.LimitReader(d, 60), length)
				require.Equal(t, 200, a.status, a.raw)
				require.Greater(t, time.Since(began), pause, "the test is one of slowness")
				a = send(t, e, client, bodyPath+"/stream/slowbody", newDrip("x", time.Hour), length)
				require.Equal(t, 400, a.status, a.raw)
			})
		}
	}
}
