package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/service/gateway"
)

const (
	whoami  = "/_matrix/client/v3/account/whoami"
	profile = "/_matrix/client/v3/profile/@bob:x"
)

func TestWhoMayCall(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	tests := []struct {
		name, method, path, token string
		status                    int
		code, user                string
	}{
		{"a token", "GET", whoami, "tok-alice", 200, "", "@alice:x"},
		{"no token", "GET", whoami, "", 401, "M_MISSING_TOKEN", ""},
		{"an unknown token", "GET", whoami, "tok-nobody", 401, "M_UNKNOWN_TOKEN", ""},
		{"an endless token", "GET", whoami, strings.Repeat("x", 5000), 401, "M_UNKNOWN_TOKEN", ""},
		{"locked", "GET", whoami, "tok-locked", 401, "M_USER_LOCKED", ""},
		{"locked may log out", "POST", "/_matrix/client/v3/logout", "tok-locked", 200, "", "@locked:x"},
		{"suspended is passed on", "GET", whoami, "tok-limbo", 200, "", "@limbo:x"},
		{"guest is passed on", "GET", whoami, "tok-guest", 200, "", "@guest:x"},
		{"guest outside their list", "POST", "/_matrix/client/v3/createRoom", "tok-guest", 403, "M_GUEST_ACCESS_FORBIDDEN", ""},
		{"nobody where anybody may", "GET", profile, "", 200, "", ""},
		{"somebody where anybody may", "GET", profile, "tok-alice", 200, "", "@alice:x"},
		{"a bad token where anybody may", "GET", profile, "tok-nobody", 401, "M_UNKNOWN_TOKEN", ""},
		{"a bad token where it does not matter", "POST", "/_matrix/client/v3/login", "tok-nobody", 200, "", ""},
		{"r0 is v3", "GET", "/_matrix/client/r0/account/whoami", "tok-alice", 200, "", "@alice:x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var with []withRequest
			if tt.token != "" {
				with = append(with, token(tt.token))
			}
			a := e.do(tt.method, tt.path, http.NoBody, with...)
			require.Equal(t, tt.status, a.status, a.raw)
			require.Equal(t, tt.code, a.code())
			if tt.status == 200 {
				require.Equal(t, tt.user, a.body["user"])
			}
			if tt.code == "M_USER_LOCKED" {
				require.Equal(t, true, a.body["soft_logout"])
			}
		})
	}
}

func TestWhatTheServiceLearnsOfTheCaller(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	a := e.get(whoami, token("tok-bob"))
	require.Equal(t, "@bob:x", a.body["user"])
	require.Equal(t, "B1", a.body["device"])
	require.Equal(t, "t3", a.body["token_id"])
	require.Equal(t, true, a.body["admin"])
	require.Equal(t, "127.0.0.1", a.body["remote"])
	require.Equal(t, a.header.Get("X-Request-Id"), a.body["request_id"])
	require.NotEmpty(t, a.body["request_id"])
	require.Equal(t, true, e.get(whoami, token("tok-limbo")).body["suspended"])
	require.Equal(t, true, e.get(whoami, token("tok-guest")).body["guest"])
}

func TestTheSchemeOfTheTokenIgnoresCase(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	require.Equal(t, 200, e.get(whoami, header("Authorization", "bearer tok-alice")).status)
	require.Equal(t, "M_MISSING_TOKEN", e.get(whoami, header("Authorization", "Basic dG9rLWFsaWNl")).code())
}

func TestServicesNeverSeeTokens(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	for _, query := range []string{
		"?access_token=tok-alice", "?a=1&access_token=tok-alice&b=%20%2F&c", "?access%5Ftoken=tok-alice",
		"?access_token=tok-alice&access_token=tok-bob",
	} {
		require.Equal(t, "@alice:x", e.get(whoami + query).body["user"], query)
		r := e.last()
		require.NotContains(t, r.URL.String(), "tok-", query)
		require.NotContains(t, r.RequestURI, "tok-", query)
		require.Empty(t, r.Header.Get("Authorization"))
	}
	e.get(whoami + "?a=1&access_token=tok-alice&b=%20%2F&c")
	require.Equal(t, "a=1&b=%20%2F&c", e.last().URL.RawQuery, "the rest of the query stays as it is")

	e.get(whoami+"?access_token=tok-bob", token("tok-alice"))
	require.Equal(t, "@alice:x", httpx.CallerOf(e.last()).UserID, "the header comes first")
	require.Empty(t, e.last().URL.RawQuery)

	e.do("POST", "/_matrix/client/v3/login?access_token=tok-bob", strings.NewReader("{}"), token("tok-alice"))
	require.Empty(t, e.last().Header.Get("Authorization"), "also where nobody needs to be signed in")
	require.Empty(t, e.last().URL.RawQuery)
}

func TestInternalHeadersFromOutsideAreRemoved(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	forged := []withRequest{
		header("X-Hongyan-User", "@root:x"), header("x-hongyan-flags", "a"), header("X-HONGYAN-DEVICE", "R"),
		header("X-Hongyan-Key", "forged"), header("X-Hongyan-Idempotency-Key", "forged"), header("X-Hongyan-Anything", "forged"),
		header("Connection", "X-Hongyan-Remote"), header("X-Hongyan-Remote", "1.2.3.4"),
		header("X_Hongyan_Key", "forged"), header("X-Hongyan_User", "forged"), // one name with the right one to CGI, WSGI and PHP
	}
	for _, with := range [][]withRequest{forged, append([]withRequest{token("tok-alice")}, forged...)} {
		a := e.get(profile, with...)
		require.Equal(t, 200, a.status)
		require.NotEqual(t, "@root:x", a.body["user"])
		require.NotEqual(t, true, a.body["admin"])
		require.Equal(t, "127.0.0.1", a.body["remote"], "what names a header in Connection must not remove the gateway's")
		for name, values := range e.last().Header {
			require.NotContains(t, values, "forged", name)
		}
	}
}

func TestIdempotencyAndRoutingKeys(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	send := "/_matrix/client/v3/rooms/%21a%2Fb:x/send/m.room.message/t1"
	tests := []struct {
		method, path, key string
		idempotent        bool
	}{
		{"GET", whoami, "", false},
		{"POST", "/_matrix/client/v3/createRoom", "@alice:x", true},
		{"PUT", send, "!a/b:x", false},
		{"GET", "/_matrix/client/v3/rooms/!r:x/state/m.x/a%0Ab", "!r:x", false},
	}
	for _, tt := range tests {
		a := e.do(tt.method, tt.path, strings.NewReader(""), token("tok-alice"))
		require.Equal(t, 200, a.status, tt.path)
		key, err := url.PathUnescape(a.body["key"].(string))
		require.NoError(t, err)
		require.Equal(t, tt.key, key, tt.path)
		require.Equal(t, tt.idempotent, a.body["idempotency"] != "", tt.path)
	}
	first := e.do("POST", "/_matrix/client/v3/createRoom", strings.NewReader("{}"), token("tok-alice"))
	second := e.do("POST", "/_matrix/client/v3/createRoom", strings.NewReader("{}"), token("tok-alice"))
	require.NotEqual(t, first.body["idempotency"], second.body["idempotency"])
}

func TestPathsAndMethods(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	tests := []struct {
		method, path string
		status       int
	}{
		{"GET", "/_matrix/client/v3/nothing", 404},
		{"GET", "/nothing", 404},
		{"GET", "/_matrix/client/v3/account/whoami/", 404},
		{"GET", "/_matrix//client/v3/account/whoami", 404},
		{"POST", whoami, 405},
		{"PATCH", whoami, 405},
		{"DELETE", "/_matrix/client/v3/createRoom", 405},
		// named by the specification, not built in this fake
		{"GET", "/_matrix/client/v3/publicRooms", 404},
		{"PUT", "/_matrix/client/v3/publicRooms", 405},
		{"GET", "/_matrix/client/v3/keys/upload", 405},
		{"POST", "/_matrix/client/r0/pushrules/", 405},
		{"PUT", "/_matrix/client/v3/rooms/!r:x/send/m.x", 404},
		{"GET", "/_matrix/federation/v1/version", 404},
		{"POST", "/_matrix/federation/v1/version", 405},
		{"GET", "/_matrix/federation/v1/send/1", 405},
		{"GET", "/_matrix/key/v2/server", 404},
		{"PUT", "/_matrix/key/v2/server", 405},
		{"POST", "/_matrix/media/v3/upload", 404},
		{"PATCH", "/_matrix/media/v3/upload", 405},
		{"DELETE", "/_matrix/media/v1/create", 405},
	}
	for _, tt := range tests {
		for _, with := range [][]withRequest{nil, {token("tok-alice")}, {token("tok-nobody")}} {
			a := e.do(tt.method, tt.path, http.NoBody, with...)
			require.Equal(t, tt.status, a.status, "%s %s: %s", tt.method, tt.path, a.raw)
			require.Equal(t, "M_UNRECOGNIZED", a.code())
			require.Equal(t, tt.status == 405, a.header.Get("Allow") != "")
		}
	}
	require.Zero(t, e.identity.count(), "an unknown path is no reason to look a token up")
}

func TestCORSIsOnEveryAnswer(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	for _, path := range []string{
		"/", whoami, "/nothing", "/_matrix/client/versions", "/.well-known/matrix/client", "/.well-known/matrix/support",
		"/_matrix/client/v3/devices", "/_matrix/client/v3/joined_rooms", "/_matrix/federation/v1/version",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			a := e.do(method, path, http.NoBody, token("tok-alice"))
			require.Equal(t, []string{"*"}, a.header["Access-Control-Allow-Origin"], "%s %s", method, path)
			require.Equal(t, []string{"GET, POST, PUT, DELETE, OPTIONS"}, a.header["Access-Control-Allow-Methods"])
			require.Equal(t, []string{"X-Requested-With, Content-Type, Authorization"}, a.header["Access-Control-Allow-Headers"])
			if method == "OPTIONS" {
				require.Equal(t, 204, a.status)
				require.Empty(t, a.raw)
			}
		}
	}
	before := e.requests()
	e.do("OPTIONS", whoami, http.NoBody, token("tok-alice"))
	require.Equal(t, before, e.requests(), "OPTIONS must not reach a service")
}

func TestBodies(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	send := "/_matrix/client/v3/rooms/!r:x/send/m.x/1"
	a := e.do("PUT", send, strings.NewReader(strings.Repeat("x", 1000)), token("tok-alice"))
	require.Equal(t, 200, a.status)
	require.Len(t, e.body, 1000)
	a = e.do("PUT", send, strings.NewReader(strings.Repeat("x", 1001)), token("tok-alice"))
	require.Equal(t, 413, a.status)
	require.Equal(t, "M_TOO_LARGE", a.code())
	chunked := io.MultiReader(strings.NewReader(strings.Repeat("x", 1000)), strings.NewReader("x"))
	a = e.do("PUT", send, chunked, token("tok-alice"))
	require.Equal(t, 413, a.status, "a body that does not say how long it is")
	require.Equal(t, "M_TOO_LARGE", a.code())
	a = e.do("PUT", send, strings.NewReader(strings.Repeat("x", 1001)))
	require.Equal(t, "M_MISSING_TOKEN", a.code(), "who calls comes before what they send")
}

func TestFailuresOfServices(t *testing.T) {
	logs := captureLogs(t, "info")
	network := func(h http.Handler) http.RoundTripper {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		base, err := url.Parse(server.URL)
		require.NoError(t, err)
		return httpx.Fixed(base, http.DefaultTransport)
	}
	for name, transport := range map[string]func(http.Handler) http.RoundTripper{"local": httpx.Local, "network": network} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t, edgeOptions{transport: transport})
			a := e.get("/_matrix/client/v3/joined_rooms", token("tok-alice"))
			require.Equal(t, 500, a.status)
			require.NotContains(t, a.raw, "secret cause")
			a = e.get("/_matrix/client/v3/devices", token("tok-alice"))
			require.Equal(t, 503, a.status)
			require.Equal(t, "1", a.header.Get("Retry-After"))
			require.Equal(t, "@alice:x", e.get(whoami, token("tok-alice")).body["user"])
			e.identity.fail(io.ErrUnexpectedEOF)
			a = e.get(whoami, token("tok-bob"))
			require.Equal(t, 503, a.status, "identity is away: try again, do not sign out")
			require.Equal(t, "M_UNKNOWN", a.code())
			require.Equal(t, 200, e.get(whoami, token("tok-alice")).status, "what is known needs no identity")
		})
	}
	require.Contains(t, logs.String(), "the secret cause")
}

func TestAddresses(t *testing.T) {
	from := func(values ...string) []withRequest {
		var with []withRequest
		for _, v := range values {
			with = append(with, header("X-Forwarded-For", v))
		}
		return with
	}
	tests := []struct {
		name    string
		trusted []string
		header  []string
		want    string
	}{
		{"no header", []string{"127.0.0.0/8"}, nil, "127.0.0.1"},
		{"the proxy is not trusted", []string{"10.0.0.0/8"}, []string{"1.2.3.4"}, "127.0.0.1"},
		{"the proxy is trusted", []string{"127.0.0.0/8"}, []string{"1.2.3.4"}, "1.2.3.4"},
		{"what the client made up", []string{"127.0.0.0/8"}, []string{"9.9.9.9, 1.2.3.4"}, "1.2.3.4"},
		{"several proxies", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"9.9.9.9, 1.2.3.4", "10.1.1.1"}, "1.2.3.4"},
		{"all are proxies", []string{"127.0.0.0/8", "10.0.0.0/8"}, []string{"10.2.2.2, 10.1.1.1"}, "10.2.2.2"},
		{"nonsense", []string{"127.0.0.0/8"}, []string{"1.2.3.4, unknown"}, "127.0.0.1"},
		{"IPv6", []string{"127.0.0.0/8"}, []string{"2001:db8::1"}, "2001:db8::1"},
		{"zone", []string{"127.0.0.0/8"}, []string{"fe80::1%\xff"}, "fe80::1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEdge(t, edgeOptions{config: func(c *gateway.Config) { c.TrustedProxies = tt.trusted }})
			require.Equal(t, tt.want, e.get(profile, from(tt.header...)...).body["remote"])
		})
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	logs := captureLogs(t, "debug")
	e := newEdge(t, edgeOptions{})
	e.get(whoami, token("tok-alice"))
	e.get(whoami + "?access_token=tok-alice&x=1")
	e.get(whoami + "?access%5Ftoken=tok-bob")
	e.get(whoami + "?access_token=tok-nobody")
	e.get("/nothing?access_token=tok-nobody")
	e.get("/_matrix/client/v3/joined_rooms?access_token=tok-alice")
	e.do("POST", "/_matrix/client/v3/login", bytes.NewReader([]byte(`{"password":"hunter2"}`)), token("tok-alice"))
	require.Contains(t, logs.String(), "account/whoami", "one line a request")
	require.Contains(t, logs.String(), "@alice:x")
	require.NotContains(t, logs.String(), "tok-")
	require.NotContains(t, logs.String(), "hunter2")
	require.Regexp(t, `GET /nothing\?access_token=\[redacted\] 404 \d+ms request_id=\S+ address=127\.0\.0\.1`, logs.String())
	require.NotContains(t, logs.String(), "invalid IP")
	require.NotContains(t, strings.ReplaceAll(logs.String(), `\`, ""), `user=""`)
}
