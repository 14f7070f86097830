package hop_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
)

// 500 clients wait; the instance dies; they wait at another one and read its news.
func TestParkedPollsMove(t *testing.T) {
	const polls = 500
	h := newHouse(t, hop.Options{SilenceTimeout: patience})
	release := make(chan struct{})
	parked := map[string]*atomic.Int64{"a": {}, "b": {}}
	poll := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			parked[name].Add(1)
			select {
			case <-release:
				_, _ = io.WriteString(w, name+r.URL.RawQuery)
			case <-r.Context().Done():
			}
		})
	}
	a := h.start("a", poll("a"))
	h.known("room", 1)
	rt := h.cluster.Upstream("room")
	var group sync.WaitGroup
	results := make(chan error, polls)
	for n := range polls {
		group.Go(func() {
			_, body, err := call(rt, request(t, "GET", fmt.Sprint("/?", n), nil, httpx.HeaderPoll, "1"))
			if err == nil && body != fmt.Sprint("b", n) {
				err = fmt.Errorf("answered %q", body)
			}
			results <- err
		})
	}
	require.Eventually(t, func() bool { return parked["a"].Load() == polls }, patience, time.Millisecond)
	h.start("b", poll("b"))
	h.known("room", 2)
	began := time.Now()
	a.kill()
	require.Eventually(t, func() bool { return parked["b"].Load() == polls }, patience, time.Millisecond)
	t.Logf("%d polls moved in %s", polls, time.Since(began))
	close(release)
	group.Wait()
	close(results)
	for err := range results {
		require.NoError(t, err)
	}
}

// A client that goes away ends its poll at the instance.
func TestPollsEndWithTheirClient(t *testing.T) {
	h := newHouse(t, hop.Options{})
	parked, ended := make(chan struct{}), make(chan struct{})
	h.start("a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(parked)
		<-r.Context().Done()
		close(ended)
	}))
	h.known("room", 1)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, _, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil, httpx.HeaderPoll, "1").WithContext(ctx))
		result <- err
	}()
	<-parked
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	<-ended
	require.False(t, h.dir.IsDown(registry.Instance{Service: "room", BootID: "a"}))
}

// An instance hangs: its connections stay, it says nothing. It is left out until it answers again.
func TestHungInstance(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: 200 * time.Millisecond})
	release := make(chan struct{})
	handler := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	a := h.start("a", handler("a"))
	proxy := newFreezer(t, a.record.HTTP)
	a.record.HTTP = proxy.addr
	a.put(registry.Ready)
	require.Eventually(t, func() bool {
		i := h.dir.Instances("room")
		return len(i) == 1 && i[0].HTTP == proxy.addr
	}, patience, time.Millisecond)
	rt := h.cluster.Upstream("room")
	_, body, err := call(rt, request(t, "GET", "/", nil))
	require.NoError(t, err)
	require.Equal(t, "a", body)

	const polls = 300
	results := make(chan string, polls)
	for range polls {
		go func() {
			_, body, err := call(rt, request(t, "GET", "/wait", nil, httpx.HeaderPoll, "1"))
			results <- body + fmt.Sprint(err)
		}()
	}
	require.Eventually(t, func() bool { return h.cluster.Traffic()[0].InFlight == polls }, patience, time.Millisecond)
	h.start("b", handler("b"))
	h.known("room", 2)
	began := time.Now()
	proxy.freeze()
	require.Eventually(t, func() bool {
		x := h.cluster.Traffic()
		return x[0].Down && len(x) == 2 && x[1].InFlight == polls
	}, patience, time.Millisecond)
	t.Logf("found and moved %d polls in %s", polls, time.Since(began))
	for range 20 {
		_, body, err := call(rt, request(t, "GET", "/", nil))
		require.NoError(t, err)
		require.Equal(t, "b", body)
	}
	proxy.thaw()
	h.known("room", 2)
	require.False(t, h.dir.IsDown(a.record))
	close(release)
	for range polls {
		require.Equal(t, "b<nil>", <-results)
	}
}

// An instance that is known to hang while nobody calls is found by its idle connection.
func TestHungInstanceIsFoundWithoutRequests(t *testing.T) {
	h := newHouse(t, hop.Options{SilenceTimeout: 100 * time.Millisecond})
	a := h.start("a", says("a"))
	proxy := newFreezer(t, a.record.HTTP)
	a.record.HTTP = proxy.addr
	a.put(registry.Ready)
	h.start("b", says("b"))
	h.known("room", 2)
	rt := h.cluster.Upstream("room")
	require.Eventually(t, func() bool {
		_, body, err := call(rt, request(t, "GET", "/", nil))
		return err == nil && body == "a"
	}, patience, time.Millisecond)
	proxy.freeze()
	require.Eventually(t, func() bool { return h.dir.IsDown(a.record) }, patience, time.Millisecond)
	proxy.thaw()
	require.Eventually(t, func() bool { return !h.dir.IsDown(a.record) }, patience, time.Millisecond)
}
