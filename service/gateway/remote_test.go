package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
)

// overNetwork reaches the services over a real connection.
func overNetwork(t *testing.T) func(http.Handler) http.RoundTripper {
	return func(h http.Handler) http.RoundTripper {
		server := httptest.NewUnstartedServer(h)
		server.Config.Protocols = httpx.ServerProtocols()
		server.Start()
		transport := httpx.NewTransport()
		transport.HTTP2.PingTimeout = patience
		t.Cleanup(server.Close)
		t.Cleanup(transport.CloseIdleConnections)
		base, err := url.Parse(server.URL)
		require.NoError(t, err)
		return httpx.Fixed(base, transport)
	}
}

// A gateway that stops leaves no poll behind the network unanswered: the service is asked again and does not wait.
func TestDrainAnswersPollsBehindTheNetwork(t *testing.T) {
	e := newEdge(t, edgeOptions{
		transport: overNetwork(t),
		routes:    []httpx.Route{{Method: "POST", Path: "/_matrix/client/v3/slide", LongPoll: true}},
	})
	e.poll = func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Query().Get("timeout") == "0" {
			httpx.WriteJSON(w, http.StatusOK, map[string]any{"since": r.URL.Query().Get("since"), "query": r.URL.RawQuery})
			return nil
		}
		<-r.Context().Done()
		return r.Context().Err()
	}
	const polls = 20
	answers := make(chan answer, polls)
	for range polls {
		go func() {
			a, err := e.try("GET", syncPath+"?timeout=30000&since=s1&a=%2F", http.NoBody, token("tok-alice"))
			if err != nil {
				a.raw = err.Error()
			}
			answers <- a
		}()
	}
	for range polls {
		<-e.polls
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, e.service.Drain(ctx))
	for range polls {
		a := <-answers
		require.Equal(t, 200, a.status, a.raw)
		require.Equal(t, "s1", a.body["since"])
		require.Equal(t, "since=s1&a=%2F&timeout=0", a.body["query"])
	}
	a := e.get(syncPath+"?since=s2", token("tok-alice"))
	require.Equal(t, "s2", a.body["since"], "who comes later does not wait either")
	a = e.do("POST", "/_matrix/client/v3/slide?timeout=5", io.MultiReader(strings.NewReader("the body")), token("tok-alice"))
	require.Equal(t, 200, a.status, a.raw)
	require.Equal(t, "the body", string(e.body), "a body is there for each time that it is sent")
	require.NoError(t, e.service.Drain(t.Context()))
}

// What has begun when the gateway stops is not cut off.
func TestDrainLetsAnswersEnd(t *testing.T) {
	e := newEdge(t, edgeOptions{transport: overNetwork(t)})
	begun, goOn := make(chan struct{}), make(chan struct{})
	e.poll = func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, `{"since":`)
		_ = http.NewResponseController(w).Flush() // the client reads this much
		close(begun)
		<-goOn
		_, _ = io.WriteString(w, `"s1"}`)
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+syncPath, http.NoBody)
	require.NoError(t, err)
	token("tok-alice")(r)
	res, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	<-begun
	require.NoError(t, e.service.Drain(t.Context()))
	close(goOn)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.JSONEq(t, `{"since":"s1"}`, string(body))
}

// An answer that comes as the poll is told to answer now would break off: the service is asked again.
func TestDrainCrossesAnAnswer(t *testing.T) {
	var e *edge
	network := overNetwork(t)
	e = newEdge(t, edgeOptions{transport: func(h http.Handler) http.RoundTripper {
		next := network(h)
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			res, err := next.RoundTrip(r)
			if r.URL.Query().Get("timeout") != "0" {
				err = errors.Join(err, e.service.Drain(r.Context()))
			}
			return res, err
		})
	}})
	e.poll = func(w http.ResponseWriter, r *http.Request) error {
		wait := r.URL.Query().Get("timeout")
		w.Header().Add("X-Asked", wait)
		httpx.WriteJSON(w, http.StatusOK, map[string]any{"wait": wait, "much": strings.Repeat("x", 4<<20)})
		return nil
	}
	a := e.get(syncPath+"?timeout=30000", token("tok-alice"))
	require.Equal(t, 200, a.status, a.raw)
	require.Equal(t, "0", a.body["wait"])
	require.Equal(t, []string{"0"}, a.header.Values("X-Asked"))
}

// A forgotten token ends polls behind the network too, and their clients' going away ends them at the service.
func TestPollsBehindTheNetworkEnd(t *testing.T) {
	e := newEdge(t, edgeOptions{transport: overNetwork(t)})
	ended := make(chan error, 2)
	e.poll = func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		ended <- r.Context().Err()
		return r.Context().Err()
	}
	result := make(chan answer, 1)
	go func() {
		a, _ := e.try("GET", syncPath, http.NoBody, token("tok-alice"))
		result <- a
	}()
	<-e.polls
	e.identity.set("tok-alice", nil)
	e.forgetTokens("@alice:x", "A1")
	require.Equal(t, "M_UNKNOWN_TOKEN", (<-result).code())
	require.Error(t, <-ended)

	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = e.try("GET", syncPath, http.NoBody, token("tok-bob"), func(r *http.Request) { *r = *r.WithContext(ctx) })
		result <- answer{}
	}()
	<-e.polls
	cancel()
	<-result
	require.Error(t, <-ended)
}

// Only the transport over the network is told what it must know, and what is told is the route's.
func TestWhatTheTransportLearns(t *testing.T) {
	headers := make(chan http.Header, 1)
	spy := func(direct bool) func(http.Handler) http.RoundTripper {
		return func(h http.Handler) http.RoundTripper {
			if direct {
				return httpx.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					headers <- r.Header.Clone()
					h.ServeHTTP(w, r)
				}))
			}
			next := httpx.Local(h)
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				headers <- r.Header.Clone()
				return next.RoundTrip(r)
			})
		}
	}
	for _, direct := range []bool{true, false} {
		e := newEdge(t, edgeOptions{transport: spy(direct)})
		e.poll = func(w http.ResponseWriter, _ *http.Request) error {
			httpx.WriteJSON(w, http.StatusOK, map[string]any{})
			return nil
		}
		e.do("POST", "/_matrix/client/v3/login", strings.NewReader("{}"), header(httpx.HeaderPoll, "forged"))
		h := <-headers
		require.Equal(t, !direct, h.Get(httpx.HeaderOnce) != "")
		require.Empty(t, h.Get(httpx.HeaderPoll))
		e.get(syncPath, token("tok-alice"), header(httpx.HeaderOnce, "forged"))
		h = <-headers
		require.Equal(t, !direct, h.Get(httpx.HeaderPoll) != "")
		require.Empty(t, h.Get(httpx.HeaderOnce))
	}
}

// A poll that begins anew because its token was forgotten as its answer came leaves nothing of that answer behind.
func TestARestartedPollHasOneAnswer(t *testing.T) {
	for _, stays := range []bool{true, false} {
		var e *edge
		network, asked := overNetwork(t), 0
		e = newEdge(t, edgeOptions{transport: func(h http.Handler) http.RoundTripper {
			next := network(h)
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				res, err := next.RoundTrip(r)
				if err != nil {
					return nil, err
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				res.Body = io.NopCloser(bytes.NewReader(body)) // as hop does, so that the end of the poll does not break it
				if asked++; asked == 1 {
					if !stays {
						e.identity.set("tok-alice", nil)
					}
					e.forgetTokens("@alice:x", "A1")
				}
				return res, err
			})
		}})
		e.poll = func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("X-Poll", "1")
			httpx.WriteJSON(w, http.StatusOK, map[string]any{"since": "s1"})
			return nil
		}
		a := e.get(syncPath, token("tok-alice"))
		for name, values := range a.header {
			require.Len(t, values, 1, name)
		}
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
		require.Equal(t, "*", a.header.Get("Access-Control-Allow-Origin"))
		if stays {
			require.Equal(t, 2, asked)
			require.Equal(t, "s1", a.body["since"], a.raw)
			continue
		}
		require.Equal(t, "M_UNKNOWN_TOKEN", a.code(), a.raw)
		require.Empty(t, a.header.Get("X-Poll"))
	}
}
