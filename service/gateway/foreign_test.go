package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
)

const patience = 20 * time.Second

// strangers are foreign services that the test sets.
type strangers struct {
	mu        sync.Mutex
	instances []registry.Instance
	changed   chan struct{}
	base      *url.URL
}

// newStrangers returns foreign services behind one server, which answers who serves, what and for whom.
func newStrangers(t *testing.T) *strangers {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		httpx.WriteJSON(w, http.StatusOK, map[string]any{
			"service": r.Header.Get("X-Service"), "path": r.URL.EscapedPath(), "user": httpx.CallerOf(r).UserID,
			"key": r.Header.Get(httpx.HeaderKey), "once": r.Header.Get(httpx.HeaderOnce), "length": len(body),
			"authorization": r.Header.Get("Authorization"),
		})
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	return &strangers{changed: make(chan struct{}), base: base}
}

func (s *strangers) Instances() ([]registry.Instance, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances, s.changed
}

func (s *strangers) Upstream(service string, _ func(registry.Instance) bool) (http.RoundTripper, error) {
	if service == "unreachable" {
		return nil, errors.New("nobody can reach it")
	}
	if service == "dead" {
		return roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("reach dead: %w", hop.ErrUnreachable)
		}), nil
	}
	if service == "proxied" {
		return roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusBadGateway, Header: http.Header{}, Body: http.NoBody}, nil
		}), nil
	}
	fixed := httpx.Fixed(s.base, http.DefaultTransport)
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("X-Service", service)
		return fixed.RoundTrip(r)
	}), nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (s *strangers) set(instances ...registry.Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instances = instances
	close(s.changed)
	s.changed = make(chan struct{})
}

func stranger(service string, routes ...registry.Route) registry.Instance {
	return registry.Instance{Service: service, BootID: service, State: registry.Ready, Routes: routes}
}

// runs runs the gateway until the test ends.
func (e *edge) runs() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(e.t.Context()))
	done := make(chan error, 1)
	go func() { done <- e.service.Run(ctx) }()
	e.t.Cleanup(func() {
		cancel()
		require.NoError(e.t, <-done)
	})
}

func newForeignEdge(t *testing.T) (*edge, *strangers) {
	t.Helper()
	s := newStrangers(t)
	e := newEdge(t, edgeOptions{foreign: s})
	e.runs()
	return e, s
}

// settles waits until a request is answered with a status.
func (e *edge) settles(status int, method, path string, with ...withRequest) {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		a, err := e.try(method, path, http.NoBody, with...)
		return err == nil && a.status == status
	}, patience, time.Millisecond)
}

func TestForeignServicesComeAndGo(t *testing.T) {
	e, s := newForeignEdge(t)
	require.Equal(t, 404, e.get("/echo/x", token("tok-alice")).status)
	s.set(stranger("echo",
		registry.Route{Method: "GET", Path: "/echo/{name}", Key: "name"},
		registry.Route{Method: "POST", Path: "/echo/open", Auth: "none", Once: true, MaxBody: 1000},
		registry.Route{Method: "GET", Path: "/echo/perhaps", Auth: "optional", Key: "@user"},
	))
	e.settles(200, "GET", "/echo/a%2Fb", token("tok-alice"))
	a := e.get("/echo/a%2Fb", token("tok-alice"))
	require.Equal(t, "@alice:x", a.body["user"])
	require.Equal(t, "/echo/a%2Fb", a.body["path"])
	require.Equal(t, url.PathEscape("a/b"), a.body["key"])
	require.Empty(t, a.body["authorization"])
	require.Equal(t, "*", a.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "M_MISSING_TOKEN", e.get("/echo/a").code())
	require.Equal(t, "M_UNKNOWN_TOKEN", e.get("/echo/a", token("tok-nobody")).code())

	a = e.do("POST", "/echo/open", strings.NewReader("body"), header("X-Hongyan-User", "@root:x"))
	require.Equal(t, 200, a.status, a.raw)
	require.Empty(t, a.body["user"])
	require.Equal(t, "1", a.body["once"])
	require.EqualValues(t, 4, a.body["length"])
	a = e.do("POST", "/echo/open", strings.NewReader(strings.Repeat("x", 1001)))
	require.Equal(t, 413, a.status)
	a = e.do("POST", "/echo/open", io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))))
	require.Equal(t, 413, a.status, "a body that does not say how long it is")

	require.Equal(t, "@bob:x", e.get("/echo/perhaps", token("tok-bob")).body["user"])
	require.Equal(t, 200, e.get("/echo/perhaps").status)
	a = e.do("DELETE", "/echo/open", http.NoBody)
	require.Equal(t, 405, a.status)
	require.NotEmpty(t, a.header.Get("Allow"))
	s.set()
	e.settles(404, "GET", "/echo/a", token("tok-alice"))
}

// What is built in wins, and what is wrong is left out and said once.
func TestForeignRoutesKnowTheirPlace(t *testing.T) {
	logs := captureLogs(t, "info")
	e, s := newForeignEdge(t)
	get := func(path string) registry.Route { return registry.Route{Method: "GET", Path: path, Auth: "none"} }
	bad := []registry.Route{
		get("/_hongyan/topology"), get("/_synapse/x"), get("/_matrix/client/v3/admin/whois/{userId}"), get("/"), get("/{any}"), get("nothing"),
		get("/a/{x}{y}"), get("/a/{b"), get("/a/../_synapse/y"), get("/a/./b"), {Method: "CONNECT", Path: "/bad1"}, {Method: "GET", Path: "/bad2", Auth: "admin"},
		{Method: "GET", Path: "/bad3", Key: "none"}, {Method: "GET", Path: "/bad4", MaxBody: -1},
	}
	routes := []registry.Route{
		get(whoami), {Method: "POST", Path: whoami, Auth: "none"}, // built in, with another method too
		get("/_matrix/client/v3/profile/{userId}"),
		get("/_matrix/client/v3/publicRooms"), // of the specification, not built
		get("/mine"),
	}
	s.set(
		stranger("a", append(routes, bad...)...),
		stranger("b", get("/mine"), get("/yours")),
		stranger("fake", get("/shadow")), // the name of a built-in service
		stranger("unreachable", get("/nowhere")),
	)
	e.settles(200, "GET", "/yours")
	require.Equal(t, "a", e.get("/mine").body["service"], "the first has it")
	require.Equal(t, "a", e.get("/_matrix/client/v3/publicRooms").body["service"])
	require.Equal(t, "a", e.get("/_matrix/client/r0/publicRooms").body["service"])
	require.Equal(t, "M_MISSING_TOKEN", e.get(whoami).code())
	require.Equal(t, 405, e.do("POST", whoami, http.NoBody).status)
	require.Nil(t, e.get(profile).body["service"])
	for _, path := range []string{"/_hongyan/topology", "/%5Fhongyan/topology", "/_synapse/x", "/a/../_synapse/y", "/_synapse/y", "/shadow", "/nowhere", "/bad1", "/bad2", "/bad3", "/bad4"} {
		require.Equal(t, 404, e.get(path, token("tok-alice")).status, path)
	}
	require.Equal(t, 2, strings.Count(logs.String(), "with . or .. in it"))
	require.Equal(t, 1, strings.Count(logs.String(), "/_hongyan/topology\\\" of service a")+strings.Count(logs.String(), `"/_hongyan/topology" of service a`))
	s.set(stranger("a", bad...), stranger("c", get("/later")))
	e.settles(200, "GET", "/later")
	require.Equal(t, 1, strings.Count(logs.String(), "_hongyan/topology"), "said once")
}

func TestForeignRoutesAreBounded(t *testing.T) {
	captureLogs(t, "off")
	e, s := newForeignEdge(t)
	var many []registry.Route
	for n := range 1100 {
		many = append(many, registry.Route{Method: "GET", Path: fmt.Sprint("/many/", n), Auth: "none"})
	}
	s.set(stranger("a", many...))
	e.settles(200, "GET", "/many/999")
	require.Equal(t, 404, e.get("/many/1000").status)
}

// Who died keeps its routes for a while; until they go, clients hear that it is worth trying again.
func TestAForeignServiceThatDied(t *testing.T) {
	captureLogs(t, "off")
	e, s := newForeignEdge(t)
	s.set(stranger("dead", registry.Route{Method: "GET", Path: "/echo/{name}"}))
	e.settles(503, "GET", "/echo/x", token("tok-alice"))
	a := e.get("/echo/x", token("tok-alice"))
	require.Equal(t, 503, a.status)
	require.Equal(t, "M_UNKNOWN", a.code())
	require.NotEmpty(t, a.body["error"])
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Positive(t, a.body["retry_after_ms"])
}
