// Package upstreamtest is the conformance suite of upstreams: every http.RoundTripper through which the gateway
// reaches a service, in this process or over the network, behaves as it says.
package upstreamtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Open returns an upstream that reaches the handler, cleaned up with the test.
type Open func(t *testing.T, h http.Handler) http.RoundTripper

// patience is how long something that must happen may take: it only ends tests that have failed.
const patience = 20 * time.Second

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, body := range map[string]func(*testing.T, Open){
		"answers whole":                    answersWhole,
		"paths arrive as they are":         pathsArrive,
		"requests look like a server's":    requestsLookServed,
		"the caller's request stays":       requestStays,
		"context values do not cross":      valuesDoNotCross,
		"large bodies both ways":           largeBodies,
		"both directions stream":           bothStream,
		"unread request bodies are closed": unreadBodies,
		"answers without a body":           withoutBody,
		"cancelled before the header":      cancelledEarly,
		"cancelled within the body":        cancelledLate,
		"closing the body cancels":         closingCancels,
		"the deadline is the caller's":     deadline,
		"a panic breaks the connection":    panics,
		"the end of a handler is the end":  writesAfterEnd,
		"many at once":                     manyAtOnce,
	} {
		t.Run(name, func(t *testing.T) { body(t, open) })
	}
	t.Run("forward", func(t *testing.T) { runForward(t, open) })
}

func newRequest(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://service.test"+path, body)
	require.NoError(t, err)
	return r
}

// answer is what a response said.
type answer struct {
	status int
	header http.Header
}

func do(t *testing.T, rt http.RoundTripper, r *http.Request) (answer, string) {
	t.Helper()
	res, err := rt.RoundTrip(r)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.NotNil(t, res.Request)
	return answer{res.StatusCode, res.Header}, string(body)
}

// await fails the test when nothing comes.
func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing happened: "+what)
		panic("unreachable")
	}
}

func answersWhole(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Add("X-Many", "one")
		h.Add("X-Many", "two")
		h.Set("Connection", "keep-alive")
		w.WriteHeader(http.StatusTeapot)
		h.Set("X-Late", "after the header")
		w.WriteHeader(http.StatusOK) // the first one counts
		_, _ = io.WriteString(w, `{"a":1}`)
		_, _ = io.WriteString(w, `{"b":2}`)
	}))
	res, body := do(t, rt, newRequest(t, "GET", "/", nil))
	require.Equal(t, http.StatusTeapot, res.status)
	require.Equal(t, []string{"one", "two"}, res.header["X-Many"])
	require.Empty(t, res.header.Get("X-Late"))
	require.Empty(t, res.header.Get("Connection"))
	require.Equal(t, `{"a":1}{"b":2}`, body)
	require.Contains(t, res.header.Get("Content-Type"), "text/plain", "a missing type is guessed")
}

func pathsArrive(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.EscapedPath()+"?"+r.URL.RawQuery)
	}))
	for _, uri := range []string{
		"/a%2Fb", "/a%23b", "/a/../b", "/a/%2E%2E/b", "//a//b//", "/a%2F..%2Fb", "/a%20b+c", "/%E9%B4%BB",
		"/a;b?x=1;y=2&z=%2F&&", "/state/m.room.name/",
	} {
		_, body := do(t, rt, newRequest(t, "GET", uri, nil))
		want := uri
		if !strings.Contains(want, "?") {
			want += "?"
		}
		require.Equal(t, want, body)
	}
}

func requestsLookServed(t *testing.T, open Open) {
	seen := make(chan *http.Request, 1)
	rt := open(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Body == nil {
			panic("no body at all")
		}
		seen <- r
	}))
	r := newRequest(t, "GET", "/a?b=c", nil)
	r.Header.Set("X-Hongyan-User", "@a:b")
	do(t, rt, r)
	got := await(t, "request", seen)
	require.Equal(t, "/a?b=c", got.RequestURI)
	require.Empty(t, got.URL.Scheme)
	require.Empty(t, got.URL.Host)
	require.Equal(t, "@a:b", got.Header.Get("X-Hongyan-User"))
	require.GreaterOrEqual(t, got.ProtoMajor, 1)
}

func requestStays(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Header.Set("X-Mine", "changed")
		r.URL.Path = "/changed"
		r.SetPathValue("name", "changed")
	}))
	r := newRequest(t, "GET", "/a", nil)
	r.Header.Set("X-Mine", "original")
	do(t, rt, r)
	require.Equal(t, "original", r.Header.Get("X-Mine"))
	require.Equal(t, "/a", r.URL.Path)
	require.Empty(t, r.PathValue("name"))
}

type ctxKey struct{}

func valuesDoNotCross(t *testing.T, open Open) {
	seen := make(chan any, 1)
	rt := open(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Context().Value(ctxKey{}) }))
	r := newRequest(t, "GET", "/", nil)
	do(t, rt, r.WithContext(context.WithValue(r.Context(), ctxKey{}, "secret")))
	require.Nil(t, await(t, "request", seen))
}

func largeBodies(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(body)
	}))
	payload := bytes.Repeat([]byte("hongyan "), 256<<10)
	_, got := do(t, rt, newRequest(t, "PUT", "/", bytes.NewReader(payload)))
	require.True(t, bytes.Equal(payload, []byte(got)))
}

func bothStream(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		buf := make([]byte, 64)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(bytes.ToUpper(buf[:n]))
			w.(http.Flusher).Flush()
			if err != nil {
				return
			}
		}
	}))
	in, out := io.Pipe()
	res, err := rt.RoundTrip(newRequest(t, "POST", "/", in))
	require.NoError(t, err)
	for _, word := range []string{"one", "two", "three"} {
		_, err := io.WriteString(out, word)
		require.NoError(t, err)
		got := make([]byte, len(word))
		_, err = io.ReadFull(res.Body, got)
		require.NoError(t, err)
		require.Equal(t, strings.ToUpper(word), string(got))
	}
	require.NoError(t, out.Close())
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.NoError(t, res.Body.Close())
}

// closing reports when a request's body is closed.
type closing struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func (c *closing) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func unreadBodies(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	body := &closing{Reader: strings.NewReader("never read"), closed: make(chan struct{})}
	res, _ := do(t, rt, newRequest(t, "POST", "/", body))
	require.Equal(t, http.StatusForbidden, res.status)
	await(t, "body closed", body.closed)
}

func withoutBody(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if r.URL.Path == "/head" {
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "12345")
		}
	}))
	res, body := do(t, rt, newRequest(t, "GET", "/none", nil))
	require.Equal(t, http.StatusNoContent, res.status)
	require.Empty(t, body)
	res, body = do(t, rt, newRequest(t, "HEAD", "/head", nil))
	require.Equal(t, http.StatusOK, res.status)
	require.Equal(t, "5", res.header.Get("Content-Length"))
	require.Empty(t, body)
	res, body = do(t, rt, newRequest(t, "GET", "/nothing", nil))
	require.Equal(t, http.StatusOK, res.status)
	require.Empty(t, body)
}

func cancelledEarly(t *testing.T, open Open) {
	started, ended := make(chan struct{}), make(chan error, 1)
	rt := open(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		ended <- r.Context().Err()
	}))
	r := newRequest(t, "GET", "/", nil)
	ctx, cancel := context.WithCancel(r.Context())
	result := make(chan error, 1)
	go func() {
		res, err := rt.RoundTrip(r.WithContext(ctx))
		if err == nil {
			_ = res.Body.Close()
		}
		result <- err
	}()
	await(t, "start", started)
	cancel()
	require.ErrorIs(t, await(t, "error", result), context.Canceled)
	require.ErrorIs(t, await(t, "handler's end", ended), context.Canceled)
	_, err := rt.RoundTrip(r.WithContext(ctx)) //nolint:bodyclose // it fails
	require.ErrorIs(t, err, context.Canceled, "cancelled before it began")
}

// streaming writes a first byte and then waits for its context.
func streaming(ended chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "1")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
}

func cancelledLate(t *testing.T, open Open) {
	ended := make(chan error, 1)
	rt := open(t, streaming(ended))
	r := newRequest(t, "GET", "/", nil)
	ctx, cancel := context.WithCancel(r.Context())
	res, err := rt.RoundTrip(r.WithContext(ctx))
	require.NoError(t, err)
	_, err = io.ReadFull(res.Body, make([]byte, 1))
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(res.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, res.Body.Close())
	require.Error(t, await(t, "handler's end", ended))
}

func closingCancels(t *testing.T, open Open) {
	ended := make(chan error, 1)
	rt := open(t, streaming(ended))
	res, err := rt.RoundTrip(newRequest(t, "GET", "/", nil))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Error(t, await(t, "handler's end", ended))
	_, err = res.Body.Read(make([]byte, 1))
	require.Error(t, err)
}

func deadline(t *testing.T, open Open) {
	ended := make(chan error, 1)
	rt := open(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended <- r.Context().Err()
	}))
	r := newRequest(t, "GET", "/", nil)
	ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := rt.RoundTrip(r.WithContext(ctx)) //nolint:bodyclose // it fails
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Error(t, await(t, "handler's end", ended))
}

func panics(t *testing.T, open Open) {
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = io.WriteString(w, "1")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	_, err := rt.RoundTrip(newRequest(t, "POST", "/early", strings.NewReader("x"))) //nolint:bodyclose // it fails
	require.Error(t, err)
	res, err := rt.RoundTrip(newRequest(t, "POST", "/late", strings.NewReader("x")))
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.Equal(t, "1", string(body))
	require.Error(t, err, "a broken answer must not look whole")
	require.NoError(t, res.Body.Close())
}

func writesAfterEnd(t *testing.T, open Open) {
	result := make(chan error, 1)
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			_, err = w.Write(make([]byte, 4096))
		}
		result <- err
	}))
	res, err := rt.RoundTrip(newRequest(t, "GET", "/", nil))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Error(t, await(t, "failed write", result))
}

func manyAtOnce(t *testing.T, open Open) {
	release := make(chan struct{})
	var waiting sync.WaitGroup
	const n = 200
	waiting.Add(n)
	rt := open(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		waiting.Done()
		<-release
		_, _ = io.WriteString(w, r.URL.Query().Get("n"))
	}))
	var group sync.WaitGroup
	failures := make(chan error, n)
	for i := range n {
		want := strings.Repeat("x", i)
		r := newRequest(t, "GET", "/?n="+want, nil)
		group.Go(func() {
			res, err := rt.RoundTrip(r)
			if err != nil {
				failures <- err
				return
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || string(body) != want {
				failures <- errors.Join(err, errors.New("wrong answer"))
			}
			_ = res.Body.Close()
		})
	}
	waiting.Wait() // all are served at the same time
	close(release)
	group.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
}
