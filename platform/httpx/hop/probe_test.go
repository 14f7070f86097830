package hop_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
)

// foreign makes a record one that is spoken to in HTTP/1.1.
func foreign(i *registry.Instance) { i.Routes = []registry.Route{{Method: "GET", Path: "/"}} }

// moveTo registers an instance at another address.
func (h *house) moveTo(i *instance, addr string) {
	h.t.Helper()
	i.record.HTTP = addr
	i.put(registry.Ready)
	require.Eventually(h.t, func() bool {
		for _, known := range h.dir.All("room") {
			if known.BootID == i.record.BootID {
				return known.HTTP == addr
			}
		}
		return false
	}, patience, time.Millisecond)
}

// An instance hangs whose connections know no pings: what waits for it fails, or goes elsewhere where it may.
func TestHungInstanceWithoutPings(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: 250 * time.Millisecond})
	release, posted := make(chan struct{}), make(chan struct{})
	handler := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				close(posted) // it comes once
			}
			if r.URL.Path == "/wait" {
				select {
				case <-release:
				case <-r.Context().Done():
					return
				}
			}
			_, _ = io.WriteString(w, name)
		})
	}
	a := h.start("a", handler("a"), foreign)
	proxy := newFreezer(t, a.record.HTTP)
	h.moveTo(a, proxy.addr)
	rt := h.cluster.Upstream("room")
	const waiting = 30
	results := make(chan string, waiting)
	for range waiting {
		go func() {
			_, body, err := call(rt, request(t, "GET", "/wait", nil))
			if err != nil {
				body = err.Error()
			}
			results <- body
		}()
	}
	failed := make(chan error, 1)
	go func() {
		_, _, err := call(rt, request(t, "POST", "/wait", strings.NewReader("x")))
		failed <- err
	}()
	<-posted
	require.Eventually(t, func() bool { return h.cluster.Traffic()[0].InFlight == waiting+1 }, patience, time.Millisecond)
	h.start("b", handler("b"), foreign)
	h.known("room", 2)
	proxy.freeze()
	require.Error(t, <-failed, "it may have been served")
	require.Eventually(t, func() bool {
		x := h.cluster.Traffic()
		return x[0].Down && len(x) == 2 && x[1].InFlight == waiting
	}, patience, time.Millisecond)
	for range 20 {
		_, body, err := call(rt, request(t, "GET", "/", nil))
		require.NoError(t, err)
		require.Equal(t, "b", body)
	}
	close(release)
	for range waiting {
		require.Equal(t, "b", <-results)
	}
	proxy.thaw()
	require.Eventually(t, func() bool { return !h.dir.IsDown(a.record) }, patience, time.Millisecond)
}

// Who is busy for long without pings, and answers that it lives, is left alone.
func TestSlowInstanceWithoutPings(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: 250 * time.Millisecond})
	asked, enough := atomic.Int64{}, make(chan struct{})
	h.start("a", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-enough
		_, _ = io.WriteString(w, "done")
	}), foreign, func(i *registry.Instance) {
		i.HTTP = newTap(t, i.HTTP, func() {
			if asked.Add(1) == 4 { // the request and three questions
				close(enough)
			}
		})
	})
	h.known("room", 1)
	_, body, err := call(h.cluster.Upstream("room"), request(t, "POST", "/", strings.NewReader("x")))
	require.NoError(t, err)
	require.Equal(t, "done", body)
}

// Whom the registry forgets while it hangs is found out all the same, by pings or by questions.
func TestHungInstanceLeaves(t *testing.T) {
	for name, change := range map[string]func(*registry.Instance){"pings": func(*registry.Instance) {}, "no pings": foreign} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, hop.Options{SilenceTimeout: 250 * time.Millisecond})
			began := make(chan struct{})
			a := h.start("a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(began)
				<-r.Context().Done()
			}), change)
			proxy := newFreezer(t, a.record.HTTP)
			h.moveTo(a, proxy.addr)
			result := make(chan string, 1)
			go func() {
				_, body, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
				if err != nil {
					body = err.Error()
				}
				result <- body
			}()
			<-began
			h.start("b", says("b"), change)
			h.known("room", 2)
			proxy.freeze()
			a.leave()
			require.Equal(t, "b", <-result)
		})
	}
}

// Whoever takes no connections any more and ends what it has begun does not hang: not when it left, nor when it is still
// listed, because the registry is away.
func TestWhoStopsWithoutPingsEndsItsRequests(t *testing.T) {
	t.Run("it left", func(t *testing.T) { endsItsRequests(t, true) })
	t.Run("it is listed", func(t *testing.T) { endsItsRequests(t, false) })
}

func endsItsRequests(t *testing.T, leaves bool) {
	t.Helper()
	h := newHouse(t, hop.Options{SilenceTimeout: 250 * time.Millisecond})
	began := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return // it is asked
		}
		close(began)
		select {
		case <-time.After(2 * time.Second): // several questions
			_, _ = io.WriteString(w, "done")
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	a := h.start("a", says("a"), foreign)
	h.moveTo(a, server.Listener.Addr().String())
	result := make(chan string, 1)
	go func() {
		_, body, err := call(h.cluster.Upstream("room"), request(t, "POST", "/", strings.NewReader("x")))
		if err != nil {
			body = err.Error()
		}
		result <- body
	}()
	<-began
	h.start("b", says("b"), foreign)
	h.known("room", 2)
	if leaves {
		a.leave()
	}
	server.Close() // waits for the request
	require.Equal(t, "done", <-result)
	require.Equal(t, !leaves, h.dir.IsDown(a.record), "it gets nothing new")
}

// newTap passes connections on and tells of each.
func newTap(t *testing.T, target string, seen func()) string {
	t.Helper()
	return listen(t, func(in net.Conn) {
		seen()
		out, err := (&net.Dialer{}).Dial("tcp", target)
		if err != nil {
			return
		}
		var passing sync.WaitGroup
		pass := func(to, from net.Conn) {
			_, _ = io.Copy(to, from)
			_, _ = to.Close(), from.Close()
		}
		passing.Go(func() { pass(out, in) })
		pass(in, out)
		passing.Wait()
	})
}

// listen has each connection to a port served, which is closed then, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			running.Go(func() {
				defer func() { _ = c.Close() }()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return ln.Addr().String()
}

// The verdict on an address where the instance was before does not count.
func TestALateVerdictIsDropped(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: 100 * time.Millisecond, Wait: time.Millisecond})
	a := h.start("a", says("a"))
	address := a.record.HTTP
	came, ended := make(chan struct{}, 16), make(chan struct{}, 16)
	h.moveTo(a, listen(t, func(c net.Conn) { // it takes connections and says nothing
		came <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
		ended <- struct{}{}
	}))
	_, _, err := call(h.cluster.Upstream("room"), request(t, "POST", "/", strings.NewReader("x")))
	require.Error(t, err)
	<-came
	<-ended
	<-came // it is asked
	h.moveTo(a, address)
	<-ended
	require.Never(t, func() bool { return h.dir.IsDown(a.record) }, 500*time.Millisecond, time.Millisecond)
}

// The last instance of a service that left stays in the directory; it is asked less and less often.
func TestWhoLeftIsAskedLessOften(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: 250 * time.Millisecond, Wait: time.Millisecond})
	a := h.start("a", says("a"), foreign)
	rt := h.cluster.Upstream("room")
	h.known("room", 1)
	_, _, err := call(rt, request(t, "GET", "/", nil))
	require.NoError(t, err)
	var asked atomic.Int64
	dead := listen(t, func(net.Conn) { asked.Add(1) })
	h.moveTo(a, dead)
	_, _, err = call(rt, request(t, "POST", "/", strings.NewReader("x")))
	require.Error(t, err)
	a.leave()
	require.Eventually(t, func() bool { return !h.dir.Named("room") }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return h.dir.IsDown(a.record) }, patience, time.Millisecond)
	before, began := asked.Load(), time.Now()
	require.Eventually(t, func() bool { return asked.Load() >= before+5 }, patience, time.Millisecond)
	require.Greater(t, time.Since(began), 3*time.Second, "four times a second for ever")
}

// A service left and its process hangs: nothing waits for it, nobody pings it or ever called it, and yet it is found out.
func TestWhoLeftIsAsked(t *testing.T) {
	for name, called := range map[string]bool{"called": true, "never called": false} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, hop.Options{SilenceTimeout: 250 * time.Millisecond})
			a := h.start("a", says("a"), foreign)
			proxy := newFreezer(t, a.record.HTTP)
			h.moveTo(a, proxy.addr)
			if called {
				_, _, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
				require.NoError(t, err)
			}
			proxy.freeze()
			a.leave()
			require.Eventually(t, func() bool { return h.dir.IsDown(a.record) }, patience, time.Millisecond)
		})
	}
}

// A process that says who it is, is not taken for one that had its port before.
func TestAPortOfSomebodyElse(t *testing.T) {
	h := newHouse(t, hop.Options{})
	server, err := hop.NewServer(hop.ServerOptions{Name: "room", BootID: "new", Handler: says("new")})
	require.NoError(t, err)
	current := h.serve("new", server)
	server.Open()
	current.put(registry.Ready)
	old := registry.Instance{Service: "room", BootID: "old", HTTP: current.record.HTTP, State: registry.Ready}
	h.register(old)
	h.known("room", 2)
	rt := h.cluster.Upstream("room")
	require.Eventually(t, func() bool {
		_, _, err := call(rt, request(t, "GET", "/", nil))
		x := h.cluster.Traffic()
		return err == nil && len(x) == 2 && x[0].Calls > 0 && x[1].Calls > 0
	}, patience, time.Millisecond)
	current.port.breakConns()
	require.Eventually(t, func() bool { return h.dir.IsDown(old) && !h.dir.IsDown(current.record) }, patience, time.Millisecond)
}

// An end of the time is the instance's fault where it had time, had the whole request, and was not to wait.
func TestWhoseFaultATimeoutIs(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: patience})
	h.start("a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	h.known("room", 1)
	slow, fast := 1500*time.Millisecond, 50*time.Millisecond
	half, whole := io.Pipe()
	defer func() { _ = whole.Close() }()
	for name, tt := range map[string]struct {
		timeout time.Duration
		body    io.Reader
		headers []string
		errors  int
	}{
		"its own":       {timeout: slow, body: strings.NewReader("x"), errors: 1},
		"a poll":        {timeout: slow, headers: []string{httpx.HeaderPoll, "1"}},
		"hardly a time": {timeout: fast},
		"the client's":  {timeout: slow, body: half},
	} {
		t.Run(name, func(t *testing.T) {
			before := uint64(0)
			if traffic := h.cluster.Traffic(); len(traffic) > 0 {
				before = traffic[0].Errors
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			_, _, err := call(h.cluster.Upstream("room"), request(t, "POST", "/", tt.body, tt.headers...).WithContext(ctx))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.EqualValues(t, tt.errors, h.cluster.Traffic()[0].Errors-before)
		})
	}
}
