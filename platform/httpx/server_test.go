package httpx_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	zeroprom "github.com/zeromicro/go-zero/core/prometheus"

	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

func serve(t *testing.T, bindings ...httpx.Binding) *httptest.Server {
	t.Helper()
	h, err := httpx.NewServer("test", bindings, httpx.Options{})
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func bind(method, path string, h httpx.HandlerFunc) httpx.Binding {
	return httpx.Binding{Route: httpx.Route{Method: method, Path: path}, Handler: h}
}

func call(t *testing.T, server *httptest.Server, method, path string, in io.Reader) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, server.URL+path, in)
	require.NoError(t, err)
	res, err := server.Client().Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(text)
}

func TestServerAnswersErrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		status int
		body   string
		retry  string
	}{
		{"client's", matrix.NewError(matrix.CodeForbidden, "No."), 403, `{"errcode":"M_FORBIDDEN","error":"No."}`, ""},
		{"wrapped", fmt.Errorf("join: %w", matrix.NewError(matrix.CodeNotFound, "None.")), 404, `{"errcode":"M_NOT_FOUND","error":"None."}`, ""},
		{"with fields", matrix.NewError(matrix.CodeUnknownToken, "Out.").WithField("soft_logout", true), 401,
			`{"errcode":"M_UNKNOWN_TOKEN","error":"Out.","soft_logout":true}`, ""},
		{"hidden cause", errors.New("select from token tok_secret"), 500, `{"errcode":"M_UNKNOWN","error":"Internal server error."}`, ""},
		{"no valid status", (&matrix.Error{Code: matrix.CodeUnknown}).WithCause(errors.New("x")), 500,
			`{"errcode":"M_UNKNOWN","error":"Internal server error."}`, ""},
		{"out of time", fmt.Errorf("read: %w", context.DeadlineExceeded), 503, "", "1"},
		{"out of time within", matrix.Internal(context.DeadlineExceeded), 503, "", "1"},
		{"limited", &matrix.Error{Status: 429, Code: matrix.CodeLimitExceeded, Message: "Slow.", RetryAfter: 1500 * time.Millisecond}, 429,
			`{"errcode":"M_LIMIT_EXCEEDED","error":"Slow.","retry_after_ms":1500}`, "2"},
		{"too large", &http.MaxBytesError{Limit: 5}, 413, `{"errcode":"M_TOO_LARGE","error":"The body is larger than 5 bytes."}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := serve(t, bind("GET", "/a", func(http.ResponseWriter, *http.Request) error { return tc.err }))
			res, text := call(t, server, "GET", "/a", nil)
			require.Equal(t, tc.status, res.StatusCode)
			require.Equal(t, tc.retry, res.Header.Get("Retry-After"))
			require.Equal(t, "application/json", res.Header.Get("Content-Type"))
			require.NotContains(t, text, "secret")
			if tc.body != "" {
				require.JSONEq(t, tc.body, text)
			}
		})
	}
}

func TestServerUnknown(t *testing.T) {
	server := serve(t, bind("GET", "/a", func(http.ResponseWriter, *http.Request) error { return nil }))
	res, text := call(t, server, "GET", "/b", nil)
	require.Equal(t, 404, res.StatusCode)
	require.Contains(t, text, "M_UNRECOGNIZED")
	res, text = call(t, server, "PUT", "/a", nil)
	require.Equal(t, 405, res.StatusCode)
	require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
	require.Contains(t, text, "M_UNRECOGNIZED")
}

func TestServerRecovers(t *testing.T) {
	server := serve(t,
		bind("GET", "/early", func(http.ResponseWriter, *http.Request) error { panic("secret stack") }),
		bind("GET", "/late", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "1")
			_ = http.NewResponseController(w).Flush()
			panic("late")
		}),
		bind("GET", "/broken", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "1")
			_ = http.NewResponseController(w).Flush()
			return errors.New("broken")
		}),
	)
	res, text := call(t, server, "GET", "/early", nil)
	require.Equal(t, 500, res.StatusCode)
	require.JSONEq(t, `{"errcode":"M_UNKNOWN","error":"Internal server error."}`, text)
	for _, path := range []string{"/late", "/broken"} {
		res, err := server.Client().Get(server.URL + path)
		require.NoError(t, err)
		_, err = io.ReadAll(res.Body)
		require.Error(t, err, "a broken answer must not look whole")
		require.NoError(t, res.Body.Close())
	}
}

func TestServerDeadlines(t *testing.T) {
	limits := make(chan time.Duration, 1)
	report := func(_ http.ResponseWriter, r *http.Request) error {
		end, ok := r.Context().Deadline()
		if !ok {
			limits <- 0
			return nil
		}
		limits <- time.Until(end)
		return nil
	}
	server := serve(t,
		bind("GET", "/default", report),
		httpx.Binding{Route: httpx.Route{Method: "GET", Path: "/own", Timeout: time.Hour}, Handler: report},
		httpx.Binding{Route: httpx.Route{Method: "GET", Path: "/poll", LongPoll: true}, Handler: report},
		httpx.Binding{Route: httpx.Route{Method: "GET", Path: "/slow", Timeout: time.Millisecond},
			Handler: func(_ http.ResponseWriter, r *http.Request) error {
				<-r.Context().Done()
				return r.Context().Err()
			}},
	)
	call(t, server, "GET", "/default", nil)
	got := <-limits
	require.Positive(t, got)
	require.LessOrEqual(t, got, httpx.DefaultTimeout)
	call(t, server, "GET", "/own", nil)
	require.Greater(t, <-limits, 59*time.Minute)
	call(t, server, "GET", "/poll", nil)
	require.Zero(t, <-limits, "a long poll has no deadline")
	res, text := call(t, server, "GET", "/slow", nil)
	require.Equal(t, 503, res.StatusCode)
	require.Contains(t, text, "M_UNKNOWN")
}

// A long poll outlasts the longest limit of the chain: its body's deadline, here a hundred times shorter.
func TestNothingCutsLongPolls(t *testing.T) {
	release := make(chan struct{})
	parked := make(chan context.Context, 1)
	poll := func(w http.ResponseWriter, r *http.Request) error {
		if err := httpx.ReadJSON(r, &struct{}{}); err != nil {
			return err
		}
		parked <- r.Context()
		select {
		case <-release:
		case <-r.Context().Done():
			return r.Context().Err()
		}
		httpx.WriteJSON(w, http.StatusOK, struct{}{})
		return nil
	}
	const limit = 10 * time.Millisecond
	h, err := httpx.NewServer("test", []httpx.Binding{{
		Route: httpx.Route{Method: "POST", Path: "/poll", LongPoll: true, Timeout: limit}, Handler: poll,
	}}, httpx.Options{Timeout: limit})
	require.NoError(t, err)
	local := httpx.Local(h)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := httpx.Forward(w, r, local); err != nil {
			httpx.WriteError(w, r, err)
		}
	}))
	defer server.Close()
	status := make(chan int, 1)
	go func() {
		res, err := server.Client().Post(server.URL+"/poll", "", strings.NewReader("{}"))
		if err != nil {
			status <- 0
			return
		}
		_ = res.Body.Close()
		status <- res.StatusCode
	}()
	ctx := <-parked
	select {
	case <-ctx.Done():
		require.Fail(t, "the long poll was cut", "%v", ctx.Err())
	case <-time.After(100 * limit):
	}
	close(release)
	require.Equal(t, http.StatusOK, <-status)
}

func TestServerBoundsBodies(t *testing.T) {
	read := func(w http.ResponseWriter, r *http.Request) error {
		got, err := httpx.ReadBody(r)
		if err != nil {
			return err
		}
		httpx.WriteJSON(w, http.StatusOK, len(got))
		return nil
	}
	server := serve(t, bind("PUT", "/a", read),
		httpx.Binding{Route: httpx.Route{Method: "PUT", Path: "/small", MaxBody: 10}, Handler: read},
		bind("PUT", "/unread", func(http.ResponseWriter, *http.Request) error {
			return matrix.NewError(matrix.CodeForbidden, "Permission comes before the body.")
		}))
	_, text := call(t, server, "PUT", "/a", strings.NewReader(strings.Repeat("x", httpx.DefaultMaxBody)))
	require.Equal(t, fmt.Sprint(httpx.DefaultMaxBody), text)
	_, text = call(t, server, "PUT", "/small", strings.NewReader("0123456789"))
	require.Equal(t, "10", text)
	large := strings.Repeat("x", httpx.DefaultMaxBody+1)
	for path, in := range map[string]io.Reader{
		"/a": strings.NewReader(large), "/small": io.MultiReader(strings.NewReader("0123456789"), strings.NewReader("x")),
	} {
		res, text := call(t, server, "PUT", path, in)
		require.Equal(t, 413, res.StatusCode)
		require.Contains(t, text, "M_TOO_LARGE")
	}
	res, _ := call(t, server, "PUT", "/unread", strings.NewReader(large))
	require.Equal(t, 403, res.StatusCode)
}

func TestSlowBodiesEnd(t *testing.T) {
	failed := make(chan error, 1)
	h, err := httpx.NewServer("test", []httpx.Binding{bind("PUT", "/a", func(_ http.ResponseWriter, r *http.Request) error {
		_, err := httpx.ReadBody(r)
		failed <- err
		return err
	})}, httpx.Options{Timeout: 20 * time.Millisecond})
	require.NoError(t, err)
	server := httptest.NewServer(h)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	select {
	case err := <-failed:
		require.Error(t, err)
	case <-time.After(20 * time.Second):
		require.Fail(t, "a body that never comes held its request")
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil { // the server may also just close
		require.GreaterOrEqual(t, res.StatusCode, 400)
		require.NoError(t, res.Body.Close())
	}
}

// TestSlowBodiesAreTheClients blames a body that does not come for the time that a handler waited for it and went on without.
func TestSlowBodiesAreTheClients(t *testing.T) {
	h, err := httpx.NewServer("test", []httpx.Binding{bind("PUT", "/a", func(_ http.ResponseWriter, r *http.Request) error {
		_, _ = httpx.ReadBody(r) // what is wrong with it is said after what is forbidden
		<-r.Context().Done()
		return matrix.Unavailable(r.Context().Err())
	})}, httpx.Options{Timeout: 50 * time.Millisecond})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodPut, "/a", iotest.ErrReader(os.ErrDeadlineExceeded))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, 400, w.Code, w.Body.String())
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/a", strings.NewReader("{}")))
	require.Equal(t, 503, w.Code, "the server's own slowness stays its own")
}

func TestServerRequestID(t *testing.T) {
	h := httpx.MustServer("test", []httpx.Binding{bind("GET", "/a", func(w http.ResponseWriter, r *http.Request) error {
		httpx.WriteJSON(w, 200, obs.RequestID(r.Context()))
		return nil
	})}, httpx.Options{})
	r := httptest.NewRequest(http.MethodGet, "/a", nil)
	httpx.SetCaller(r.Header, httpx.Caller{RequestID: "req1"})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, `"req1"`, w.Body.String())
}

func TestServerMeasures(t *testing.T) {
	zeroprom.Enable()
	server := serve(t, bind("GET", "/measured/{id}", func(http.ResponseWriter, *http.Request) error {
		return matrix.NewError(matrix.CodeForbidden, "No.")
	}))
	call(t, server, "GET", "/measured/1", nil)
	families, err := prometheus.DefaultGatherer.Gather()
	require.NoError(t, err)
	var found bool
	for _, f := range families {
		for _, m := range f.GetMetric() {
			text := m.String()
			if f.GetName() == "http_server_requests_code_total" && strings.Contains(text, "/measured/{id}") {
				require.Contains(t, text, "403")
				found = true
			}
		}
	}
	require.True(t, found)
}

func TestNewServerRefuses(t *testing.T) {
	ok := func(http.ResponseWriter, *http.Request) error { return nil }
	_, err := httpx.NewServer("test", []httpx.Binding{bind("GET", "/a", ok), bind("GET", "/a", ok)}, httpx.Options{})
	require.Error(t, err)
	_, err = httpx.NewServer("test", []httpx.Binding{bind("GET", "/a", nil)}, httpx.Options{})
	require.Error(t, err)
	require.Panics(t, func() { httpx.MustServer("test", []httpx.Binding{bind("GET", "a", ok)}, httpx.Options{}) })
}

func TestWriteErrorToNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	httpx.WriteError(w, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx), fmt.Errorf("wait: %w", context.Canceled))
	require.Equal(t, 499, w.Code)
	require.Empty(t, w.Body.String())
}

func BenchmarkServer(b *testing.B) {
	h := httpx.MustServer("bench", []httpx.Binding{bind("GET", "/_matrix/client/v3/rooms/{roomId}/state",
		func(w http.ResponseWriter, _ *http.Request) error {
			httpx.WriteRawJSON(w, 200, []byte("[]"))
			return nil
		})}, httpx.Options{})
	r := httptest.NewRequest(http.MethodGet, "/_matrix/client/v3/rooms/!r:b/state", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
