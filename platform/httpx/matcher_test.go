package httpx_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"hongyan/matrix"
	"hongyan/platform/httpx"
)

// routes are the shapes of Matrix paths.
var routes = []string{
	"GET /_matrix/client/versions",
	"GET /_matrix/client/v3/sync",
	"GET /_matrix/client/v3/rooms/{roomId}/state",
	"GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}",
	"GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/",
	"GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
	"PUT /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
	"PUT /_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}",
	"GET /_matrix/client/v3/pushrules",
	"GET /_matrix/client/v3/pushrules/",
	"GET /_matrix/client/v3/profile/{userId}",
	"PUT /_matrix/client/v3/profile/me",
	"DELETE /_matrix/client/v3/profile/{userId}",
	"GET /_matrix/client/v1/media/download/{server}/{mediaId}",
}

func matcher(t testing.TB) *httpx.Matcher[string] {
	t.Helper()
	m := &httpx.Matcher[string]{}
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		require.NoError(t, m.Add(method, path, route))
	}
	return m
}

func TestMatch(t *testing.T) {
	const state = "/_matrix/client/v3/rooms/!r:b/state/"
	const stateRoute = "GET /_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}"
	for _, tc := range []struct {
		name, method, path string
		want               string   // the route; empty for none
		params             []string // name=value
		status             int      // of the error
		allow              string
	}{
		{name: "static", method: "GET", path: "/_matrix/client/v3/sync", want: routes[1]},
		{name: "r0 is v3", method: "GET", path: "/_matrix/client/r0/sync", want: routes[1]},
		{name: "r0 with parameters", method: "GET", path: "/_matrix/client/r0/rooms/!r:b/state", want: routes[2], params: []string{"roomId=!r:b"}},
		{name: "v1 is not r0", method: "GET", path: "/_matrix/client/v1/sync", status: 404},
		{name: "state key", method: "GET", path: state + "m.x/key", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=key"}},
		{name: "slash in a state key", method: "GET", path: state + "m.x/a%2Fb", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=a/b"}},
		{name: "a slash is the state key", method: "GET", path: state + "m.x/%2F", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=/"}},
		{name: "hash", method: "GET", path: state + "m.x/%23a:b", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=#a:b"}},
		{name: "question mark", method: "GET", path: state + "m.x/%3F", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=?"}},
		{name: "dots", method: "GET", path: state + "m.x/..", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=.."}},
		{name: "one dot", method: "GET", path: state + "./.", want: stateRoute, params: []string{"roomId=!r:b", "eventType=.", "stateKey=."}},
		{name: "escaped dots", method: "GET", path: state + "%2E%2E/%2e", want: stateRoute, params: []string{"roomId=!r:b", "eventType=..", "stateKey=."}},
		{name: "dots between slashes", method: "GET", path: state + "m.x/a%2F..%2Fb", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=a/../b"}},
		{name: "decoded once", method: "GET", path: state + "m.x/%252F", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=%2F"}},
		{name: "plus is plus", method: "GET", path: state + "m.x/a+b%20c", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=a+b c"}},
		{name: "empty state key with the slash", method: "GET", path: state + "m.x/", want: routes[4], params: []string{"roomId=!r:b", "eventType=m.x"}},
		{name: "empty state key without", method: "GET", path: state + "m.x", want: routes[3], params: []string{"roomId=!r:b", "eventType=m.x"}},
		{name: "empty event type", method: "GET", path: state + "/key", status: 404},
		{name: "two slashes at the end", method: "GET", path: state + "m.x//", status: 404},
		{name: "empty room id", method: "GET", path: "/_matrix/client/v3/rooms//state", status: 404},
		{name: "two slashes at the start", method: "GET", path: "//_matrix/client/v3/sync", status: 404},
		{name: "dots are not cleaned", method: "GET", path: "/_matrix/client/v3/x/../sync", status: 404},
		{name: "escaped static text", method: "GET", path: "/_matrix/client/v3/%73ync", want: routes[1]},
		{name: "escaped slash is no separator", method: "GET", path: "/_matrix/client/v3%2Fsync", status: 404},
		{name: "trailing slash where declared", method: "GET", path: "/_matrix/client/v3/pushrules/", want: routes[9]},
		{name: "trailing slash where not", method: "GET", path: "/_matrix/client/v3/sync/", status: 404},
		{name: "wrong method", method: "POST", path: "/_matrix/client/v3/sync", status: 405, allow: "GET, HEAD"},
		{name: "several methods", method: "POST", path: state + "m.x/key", status: 405, allow: "GET, HEAD, PUT"},
		{name: "HEAD is GET", method: "HEAD", path: "/_matrix/client/v3/sync", want: routes[1]},
		{name: "HEAD without GET", method: "HEAD", path: "/_matrix/client/v3/rooms/!r:b/send/m.x/1", status: 405, allow: "PUT"},
		{name: "static beats parameter", method: "PUT", path: "/_matrix/client/v3/profile/me", want: routes[11]},
		{name: "unless it has another method", method: "GET", path: "/_matrix/client/v3/profile/me", want: routes[10], params: []string{"userId=me"}},
		{name: "and both are known", method: "POST", path: "/_matrix/client/v3/profile/me", status: 405, allow: "DELETE, GET, HEAD, PUT"},
		{name: "unknown", method: "GET", path: "/nothing", status: 404},
		{name: "root", method: "GET", path: "/", status: 404},
		{name: "empty", method: "GET", path: "", status: 404},
		{name: "asterisk", method: "OPTIONS", path: "*", status: 404},
		{name: "a prefix", method: "GET", path: "/_matrix/client/v3", status: 404},
		{name: "not UTF-8", method: "GET", path: state + "m.x/%FF", status: 400},
		{name: "NUL", method: "GET", path: state + "m.x/%00", status: 400},
		{name: "Chinese", method: "GET", path: state + "m.x/%E9%B4%BB", want: stateRoute, params: []string{"roomId=!r:b", "eventType=m.x", "stateKey=鴻"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := matcher(t).Match(tc.method, tc.path)
			require.Equal(t, tc.allow, m.Allow)
			if tc.want == "" {
				require.Error(t, err)
				e := matrix.AsError(err)
				require.Equal(t, tc.status, e.Status)
				want := matrix.CodeUnrecognized
				if tc.status == 400 {
					want = matrix.CodeInvalidParam
				}
				require.Equal(t, want, e.Code)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, m.Value)
			var params []string
			for i := range m.Params.Len() {
				name, value := m.Params.At(i)
				require.Equal(t, value, m.Params.Get(name))
				params = append(params, name+"="+value)
			}
			require.Equal(t, tc.params, params)
			require.Empty(t, m.Params.Get("another"))
		})
	}
}

func TestAddRefuses(t *testing.T) {
	m := &httpx.Matcher[int]{}
	require.NoError(t, m.Add("GET", "/a/{x}/c", 1))
	require.NoError(t, m.Add("PUT", "/a/{y}/c", 2), "names belong to a route")
	for _, path := range []string{
		"", "a", "/a/{}", "/a/{x", "/a/x}", "/a/b{x}", "/a/{x}b", "/{x}/{x}", "/a%2Fb", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
		"/a/{z}/c",
	} {
		require.Error(t, m.Add("GET", path, 3), path)
	}
}

// What the router sees is what clients sent, whatever net/url and net/http do to it.
func TestRouterOverHTTP(t *testing.T) {
	router := httpx.NewRouter()
	require.NoError(t, router.Handle("GET", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}",
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			httpx.WriteJSON(w, 200, map[string]string{"key": r.PathValue("stateKey"), "room": r.PathValue("roomId")})
		})))
	server := httptest.NewServer(router)
	defer server.Close()
	get := func(uri string) (*http.Response, string) {
		u, err := url.Parse(server.URL)
		require.NoError(t, err)
		u.Opaque = "//" + u.Host + uri
		res, err := server.Client().Do(&http.Request{Method: http.MethodGet, URL: u, Host: u.Host})
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res, string(body)
	}
	for uri, key := range map[string]string{
		"a%2Fb": "a/b", "..": "..", "%2E%2E": "..", "%2F": "/", "%23x": "#x", "a%2F..%2Fb": "a/../b", "%25": "%",
		"a;b=c": "a;b=c", "a:b@c": "a:b@c",
	} {
		res, body := get("/_matrix/client/v3/rooms/!r/state/m.x/" + uri)
		require.Equal(t, 200, res.StatusCode, uri)
		require.JSONEq(t, `{"key":"`+key+`","room":"!r"}`, body, uri)
	}
	for _, uri := range []string{"//_matrix/client/v3/sync", "/_matrix//client", "/../_matrix", "/"} {
		res, body := get(uri)
		require.Equal(t, 404, res.StatusCode, uri)
		require.Contains(t, body, "M_UNRECOGNIZED")
		require.Equal(t, "application/json", res.Header.Get("Content-Type"))
	}
	res, err := server.Client().Post(server.URL+"/_matrix/client/v3/rooms/!r/state/m.x/k", "", nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 405, res.StatusCode)
	require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
}

func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"/_matrix/client/v3/rooms/!r:b/state/m.x/%2F", "//", "/%", "/_matrix/client/r0/sync", "/%zz/%00"} {
		f.Add("GET", seed)
	}
	m := matcher(f)
	f.Fuzz(func(t *testing.T, method, path string) {
		got, err := m.Match(method, path)
		if err != nil {
			require.Contains(t, []int{400, 404, 405}, matrix.AsError(err).Status)
			return
		}
		// Building the path anew from the route and the parameters leads to the same place.
		_, pattern, _ := strings.Cut(got.Value, " ")
		for i := range got.Params.Len() {
			name, value := got.Params.At(i)
			require.True(t, utf8.ValidString(value))
			require.NotEmpty(t, value)
			pattern = strings.Replace(pattern, "{"+name+"}", url.PathEscape(value), 1)
		}
		again, err := m.Match(method, pattern)
		require.NoError(t, err, pattern)
		require.Equal(t, got, again)
	})
}

func BenchmarkMatch(b *testing.B) {
	m := matcher(b)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Match("PUT", "/_matrix/client/v3/rooms/!abcdefgh:example.org/send/m.room.message/txn1")
	}
}

func BenchmarkRouter(b *testing.B) {
	router := httpx.NewRouter()
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		require.NoError(b, router.Handle(method, path, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	}
	r := httptest.NewRequest(http.MethodPut, "/_matrix/client/v3/rooms/!abcdefgh:example.org/send/m.room.message/txn1", nil)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		router.ServeHTTP(w, r)
	}
}
