package hop_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
)

// An instance dies in the middle of its answer. What may be repeated is answered whole by another one; what may not, and what
// is too large to be kept, breaks off.
func TestAnswersBreakOff(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		size   int
		once   bool
		again  bool
	}{
		"small":            {"GET", 20_000, false, true},
		"small, not twice": {"POST", 20_000, true, false},
		"large":            {"GET", 100_000, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, hop.Options{})
			half := make(chan struct{})
			dying := h.start("dying", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(tc.size))
				_, _ = io.WriteString(w, strings.Repeat("d", tc.size/2))
				_ = http.NewResponseController(w).Flush()
				close(half)
				<-r.Context().Done()
			}))
			h.known("room", 1)
			rt := h.cluster.Upstream("room")
			req := request(t, tc.method, "/", nil)
			if tc.once {
				req.Header.Set(httpx.HeaderOnce, "1")
			}
			type result struct {
				body string
				err  error
			}
			got := make(chan result, 1)
			go func() {
				_, body, err := call(rt, req)
				got <- result{body, err}
			}()
			<-half
			whole := strings.Repeat("w", tc.size)
			h.start("whole", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, whole) }))
			h.known("room", 2)
			dying.kill()
			r := <-got
			if !tc.again {
				require.Error(t, r.err)
				return
			}
			require.NoError(t, r.err)
			require.Equal(t, whole, r.body)
		})
	}
}

// An answer that comes before the request's body was read does not wait for a Read that nobody can end.
func TestAnswersDoNotWaitForTheBody(t *testing.T) {
	h := newHouse(t, hop.Options{})
	h.start("early", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		httpx.WriteJSON(w, http.StatusForbidden, map[string]any{})
	}))
	h.known("room", 1)
	body, client := io.Pipe()
	defer func() { _ = client.Close() }()
	req := request(t, "POST", "/", io.NopCloser(body)).WithContext(t.Context()) // whose end would end the wait
	got := make(chan int, 1)
	go func() {
		status, _, _ := call(h.cluster.Upstream("room"), req)
		got <- status
	}()
	_, err := io.WriteString(client, "{")
	require.NoError(t, err)
	select {
	case status := <-got:
		require.Equal(t, http.StatusForbidden, status)
	case <-time.After(patience):
		require.Fail(t, "the answer waited for the body")
	}
}
