package openapi

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// maxFindings is how many wrong answers a test reports.
const maxFindings = 5

// Watch compares answers with the specification as they come, and reports at the end of its test.
type Watch struct {
	checker *Checker

	mu    sync.Mutex
	wrong []error
}

// NewWatch returns a Watch for a test.
func NewWatch(t testing.TB) *Watch {
	t.Helper()
	w := &Watch{checker: Open(t)}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, err := range w.wrong {
			t.Errorf("an answer is not as the specification says: %v", err)
		}
	})
	return w
}

// See takes an answer; the parameters are those of Check. What comes after the test has ended is not reported.
func (w *Watch) See(method, path string, status int, header http.Header, body []byte) {
	err := w.checker.Check(method, path, status, header, body)
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.wrong) < maxFindings {
		w.wrong = append(w.wrong, err)
	}
}

// Handler returns a handler whose answers are compared with the specification: the test fails at its end if one is wrong.
// Benchmarks get next itself.
func Handler(t testing.TB, next http.Handler) http.Handler {
	t.Helper()
	if _, ok := t.(*testing.T); !ok || !Open(t).Present() {
		return next
	}
	watch := NewWatch(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &copied{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(c, r)
		// Otherwise nobody reads it, or its reader has asked for parts of events or for another form (event_fields, event_format).
		if r.Context().Err() == nil && !strings.Contains(r.URL.RawQuery, "event_f") {
			watch.See(r.Method, r.URL.EscapedPath(), c.status, w.Header(), c.body.Bytes())
		}
	})
}

// copied keeps what is answered.
type copied struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (c *copied) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *copied) Write(p []byte) (int, error) {
	c.body.Write(p)
	return c.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (c *copied) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// Transport returns a transport whose answers are compared with the specification: the test fails at its end if one is wrong.
func Transport(t testing.TB, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	if !Open(t).Present() {
		return next
	}
	return &transport{next: next, watch: NewWatch(t)}
}

type transport struct {
	next  http.RoundTripper
	watch *Watch
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), &broken{err}))
	if err == nil {
		t.watch.See(r.Method, r.URL.EscapedPath(), resp.StatusCode, resp.Header, body)
	}
	return resp, nil
}

// broken ends a body as it ended.
type broken struct{ err error }

func (b *broken) Read([]byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	return 0, io.EOF
}
