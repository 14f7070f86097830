package hop_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
)

// load sends requests on several goroutines until stop is closed, and returns what failed.
func load(t *testing.T, rt http.RoundTripper, makers int, next func(n int) *http.Request, stop <-chan struct{}) (sent int64, failures []error) {
	t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	var count atomic.Int64
	for range makers {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := count.Add(1)
				status, body, err := call(rt, next(int(n)))
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("status %d: %s", status, body)
				}
				if err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	return count.Load(), failures
}

// A service dies, leaves or drains under load: no request that may be repeated fails.
func TestNothingFailsUnderLoad(t *testing.T) {
	const body = `{"msgtype":"m.text","body":"hello"}`
	repeatable := func(n int) *http.Request {
		switch n % 4 {
		case 0:
			return request(t, "GET", "/", nil, httpx.HeaderKey, url.PathEscape(fmt.Sprintf("!%d:x", n)))
		case 1:
			return request(t, "PUT", "/", strings.NewReader(body))
		case 2:
			return request(t, "POST", "/", strings.NewReader(body), httpx.HeaderIdempotent, "1", httpx.HeaderIdempotency, fmt.Sprint(n))
		}
		return request(t, "DELETE", "/", nil, httpx.HeaderIdempotent, "1", httpx.HeaderIdempotency, fmt.Sprint(n))
	}
	once := func(n int) *http.Request {
		return request(t, "POST", "/", strings.NewReader(body), httpx.HeaderOnce, "1", httpx.HeaderIdempotent, "1", httpx.HeaderIdempotency, fmt.Sprint(n))
	}
	kill := func(i *instance) { i.kill() }
	drain := func(i *instance) {
		i.server.Refuse() // before anybody knows
		i.leave()
		i.stop()
		require.NoError(i.t, <-i.done)
		i.done <- nil
	}
	shutdown := func(i *instance) { // the connections are told to go before anybody knows
		i.stop()
		require.NoError(i.t, <-i.done)
		i.done <- nil
		i.leave()
	}
	for name, tt := range map[string]struct {
		next func(int) *http.Request
		end  func(*instance)
	}{
		"killed": {repeatable, kill}, "drained": {repeatable, drain}, "shut down": {repeatable, shutdown},
		"drained, once": {once, drain}, "shut down, once": {once, shutdown},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, hop.Options{SilenceTimeout: patience})
			instances := []*instance{}
			for round := range 3 {
				instances = append(instances, h.start(fmt.Sprint("first", round), says("x")))
			}
			h.known("room", 3)
			stop := make(chan struct{})
			var failures []error
			var sent int64
			var group sync.WaitGroup
			group.Go(func() { sent, failures = load(t, h.cluster.Upstream("room"), 8, tt.next, stop) })
			for n, old := range instances { // one after another is replaced
				busy(t, h, old)
				h.start(fmt.Sprint("second", n), says("x"))
				tt.end(old)
			}
			close(stop)
			group.Wait()
			require.Empty(t, failures)
			require.Greater(t, sent, int64(100))
		})
	}
}

// busy waits until an instance has taken some requests.
func busy(t *testing.T, h *house, i *instance) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, x := range h.cluster.Traffic() {
			if x.Instance.BootID == i.record.BootID && x.Calls > 50 {
				return true
			}
		}
		return false
	}, patience, time.Millisecond)
}

// counting counts the requests that reach it, by what they carry, and dies of some.
type counting struct {
	mu   sync.Mutex
	seen map[string]int
	die  func(r *http.Request)
}

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	c.seen[string(body)]++
	die := c.die
	c.mu.Unlock()
	if die != nil {
		die(r)
	}
	_, _ = io.WriteString(w, "{}")
}

// What must not be sent twice is not, whatever happens to it.
func TestOnceIsNeverSentTwice(t *testing.T) {
	for name, headers := range map[string][]string{
		"once":           {httpx.HeaderOnce, "1", httpx.HeaderIdempotent, "1", httpx.HeaderIdempotency, "k", "Idempotency-Key", "theirs"},
		"not idempotent": {"Idempotency-Key", "theirs"},
		"with a key":     {httpx.HeaderIdempotency, "k"}, // which the service need not know what to do with
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, hop.Options{})
			c := &counting{seen: map[string]int{}}
			var all []*instance
			var mu sync.Mutex
			c.die = func(r *http.Request) { // every second one takes its instance's connections along
				if strings.HasSuffix(r.URL.Path, "1") {
					mu.Lock()
					defer mu.Unlock()
					for _, i := range all {
						if i.record.HTTP == r.Context().Value(http.LocalAddrContextKey).(fmt.Stringer).String() {
							i.port.breakConns()
						}
					}
				}
			}
			mu.Lock()
			for n := range 4 {
				all = append(all, h.start(fmt.Sprint(n), c))
			}
			mu.Unlock()
			h.known("room", 4)
			rt := h.cluster.Upstream("room")
			failed := 0
			for n := range 40 {
				r := request(t, "POST", fmt.Sprint("/", n%2), strings.NewReader(fmt.Sprint("body ", n)), headers...)
				if _, _, err := call(rt, r); err != nil {
					failed++
				}
			}
			require.GreaterOrEqual(t, failed, 20)
			c.mu.Lock()
			defer c.mu.Unlock()
			for body, times := range c.seen {
				require.Equal(t, 1, times, body)
			}
			require.GreaterOrEqual(t, len(c.seen), 20)
		})
	}
}

// A request that nobody survives is not tried for ever.
func TestRepeatsAreBounded(t *testing.T) {
	h := newHouse(t, hop.Options{Wait: 10 * time.Millisecond})
	c := &counting{seen: map[string]int{}, die: func(*http.Request) { panic(http.ErrAbortHandler) }}
	for n := range 10 {
		h.start(fmt.Sprint(n), c)
	}
	h.known("room", 10)
	_, _, err := call(h.cluster.Upstream("room"), request(t, "PUT", "/", strings.NewReader("poison")))
	require.Error(t, err)
	require.Equal(t, 4, c.seen["poison"])
}

func TestTheBudgetOfRepeatsEnds(t *testing.T) {
	reg := prometheus.NewRegistry()
	now := time.Unix(1000, 0) // it stands still: nothing is earned by time
	h := newHouse(t, hop.Options{Repeats: 5, Now: func() time.Time { return now }, Metrics: reg})
	c := &counting{seen: map[string]int{}, die: func(*http.Request) { panic(http.ErrAbortHandler) }}
	for n := range 4 {
		h.start(fmt.Sprint(n), c)
	}
	h.known("room", 4)
	rt := h.cluster.Upstream("room")
	const requests = 20
	for range requests {
		_, _, err := call(rt, request(t, "PUT", "/", strings.NewReader("x")))
		require.Error(t, err)
	}
	require.LessOrEqual(t, c.seen["x"], requests+5+requests/5)
	require.Positive(t, metric(t, reg, "hongyan_hop_budget_exhausted_total"))
}

func metric(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}
