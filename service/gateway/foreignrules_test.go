package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/registry"
	"hongyan/service/gateway"
)

// spies are foreign services that note what the gateway sends and which instances it would send it to.
type spies struct {
	*strangers
	mu     sync.Mutex
	header http.Header
	serves map[string]func(registry.Instance) bool
	answer http.Header
}

func newSpies(t *testing.T) (*edge, *spies) {
	t.Helper()
	s := &spies{strangers: newStrangers(t), serves: map[string]func(registry.Instance) bool{}}
	e := newEdge(t, edgeOptions{foreign: s})
	e.runs()
	return e, s
}

func (s *spies) Upstream(service string, serves func(registry.Instance) bool) (http.RoundTripper, error) {
	s.mu.Lock()
	s.serves[service] = serves
	s.mu.Unlock()
	next, err := s.strangers.Upstream(service, serves)
	if err != nil {
		return nil, err
	}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		s.mu.Lock()
		s.header = r.Header.Clone()
		s.mu.Unlock()
		res, err := next.RoundTrip(r)
		for name, values := range s.answer {
			res.Header[name] = values
		}
		return res, err
	}), nil
}

func (s *spies) saw(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header.Get(name)
}

// A foreign service's POST is sent again only where its route says that it may be.
func TestForeignRequestsComeAgainWhereTheyMay(t *testing.T) {
	e, s := newSpies(t)
	s.set(stranger("echo",
		registry.Route{Method: "POST", Path: "/echo/plain", Auth: "none"},
		registry.Route{Method: "POST", Path: "/echo/again", Auth: "none", Idempotent: true},
	))
	e.settles(200, "POST", "/echo/plain", header(httpx.HeaderIdempotent, "1"))
	require.Empty(t, s.saw(httpx.HeaderIdempotent))
	require.NotEmpty(t, s.saw(httpx.HeaderIdempotency), "a load balancer may repeat it")
	require.Equal(t, 200, e.do("POST", "/echo/again", http.NoBody).status)
	require.NotEmpty(t, s.saw(httpx.HeaderIdempotent))
}

// What the gateway says in every answer a foreign service does not say once more.
func TestForeignHeadersAreNotDoubled(t *testing.T) {
	e, s := newSpies(t)
	s.answer = http.Header{
		"Access-Control-Allow-Origin": {"https://example.org"}, "Access-Control-Allow-Credentials": {"true"},
		"X-Request-Id": {"theirs"}, "X-Theirs": {"1"},
	}
	s.set(stranger("echo", registry.Route{Method: "GET", Path: "/echo", Auth: "none"}))
	e.settles(200, "GET", "/echo")
	a := e.get("/echo")
	require.Equal(t, []string{"*"}, a.header.Values("Access-Control-Allow-Origin"))
	require.Empty(t, a.header.Values("Access-Control-Allow-Credentials"))
	require.Len(t, a.header.Values("X-Request-Id"), 1)
	require.NotEqual(t, "theirs", a.header.Get("X-Request-Id"))
	require.Equal(t, "1", a.header.Get("X-Theirs"))
}

// A request goes to instances that have its route, whatever they call its parameters.
func TestForeignInstancesDiffer(t *testing.T) {
	e, s := newSpies(t)
	route := registry.Route{Method: "GET", Path: "/echo/{name}", Auth: "none"}
	s.set(stranger("echo", route))
	e.settles(200, "GET", "/echo/x")
	s.mu.Lock()
	serves := s.serves["echo"]
	s.mu.Unlock()
	for path, want := range map[string]bool{"/echo/{name}": true, "/echo/{other}": true, "/echo/name": false, "/echo/{name}/x": false} {
		require.Equal(t, want, serves(stranger("echo", registry.Route{Method: "GET", Path: path})), path)
	}
	require.False(t, serves(stranger("echo", registry.Route{Method: "PUT", Path: route.Path})))
}

// The body of a long poll is kept while it waits: it is small, and belongs to an account whose polls are counted.
func TestForeignLongPollsAreBounded(t *testing.T) {
	captureLogs(t, "off")
	e, s := newSpies(t)
	poll := func(path, auth string, body int64) registry.Route {
		return registry.Route{Method: "POST", Path: path, Auth: auth, LongPoll: true, MaxBody: body}
	}
	s.set(stranger("echo", poll("/echo/none", "none", 0), poll("/echo/optional", "optional", 0),
		poll("/echo/large", "", 1<<20+1), poll("/echo/good", "", 1<<20)))
	e.settles(200, "POST", "/echo/good", token("tok-alice"))
	for _, path := range []string{"/echo/none", "/echo/optional", "/echo/large"} {
		require.Equal(t, 404, e.do("POST", path, http.NoBody, token("tok-alice")).status, path)
	}
	a := e.do("POST", "/echo/good", io.MultiReader(strings.NewReader("body")), token("tok-alice"))
	require.EqualValues(t, 4, a.body["length"], a.raw)
	// It is given back when the answer has been written, which the client may have read by then.
	require.Eventually(t, func() bool { return gateway.KeptBodies(e.service) == 0 }, 10*time.Second, time.Millisecond)
}

// Bodies of polls are kept up to a bound for all of them.
func TestKeptBodiesAreBounded(t *testing.T) {
	e := newEdge(t, edgeOptions{
		transport: overNetwork(t), routes: []httpx.Route{{Method: "POST", Path: "/_matrix/client/v3/slide", LongPoll: true}},
	})
	slide := func(body io.Reader) answer {
		return e.do("POST", "/_matrix/client/v3/slide", body, token("tok-alice"))
	}
	gateway.KeepBodies(e.service, 256<<20-4)
	require.Equal(t, 200, slide(strings.NewReader("four")).status)
	a := slide(strings.NewReader("and 5"))
	require.Equal(t, 503, a.status)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Equal(t, 503, slide(io.MultiReader(strings.NewReader("x"))).status, "it may become large")
	require.Eventually(t, func() bool { return gateway.KeptBodies(e.service) == 256<<20-4 }, 10*time.Second, time.Millisecond)
}
