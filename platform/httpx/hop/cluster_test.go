package hop_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
)

func TestKeysGoToTheirOwner(t *testing.T) {
	h := newHouse(t, hop.Options{})
	for _, id := range []string{"a", "b", "c"} {
		h.start(id, says(id))
	}
	h.known("room", 3)
	rt := h.cluster.Upstream("room")
	seen := map[string]bool{}
	for n := range 60 {
		key := fmt.Sprintf("!room/%d:x", n)
		owner, ok := h.dir.OwnerOf("room", key)
		require.True(t, ok)
		_, body, err := call(rt, request(t, "GET", "/", nil, httpx.HeaderKey, url.PathEscape(key)))
		require.NoError(t, err)
		require.Equal(t, owner.BootID, body)
		seen[body] = true
	}
	require.Len(t, seen, 3)
}

// An owner that fails all requests loses its keys for a while.
func TestKeysLeaveAnOwnerThatFails(t *testing.T) {
	now := time.Unix(1000, 0) // it stands still: the breaker stays open
	h := newHouse(t, hop.Options{Now: func() time.Time { return now }})
	var broken atomic.Value
	for _, id := range []string{"a", "b", "c"} {
		h.start(id, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() == id {
				panic(http.ErrAbortHandler)
			}
			says(id).ServeHTTP(w, r)
		}))
	}
	h.known("room", 3)
	owner, ok := h.dir.OwnerOf("room", "!room:x")
	require.True(t, ok)
	broken.Store(owner.BootID)
	rt := h.cluster.Upstream("room")
	send := func() (string, error) {
		_, body, err := call(rt, request(t, "POST", "/", strings.NewReader(""), httpx.HeaderKey, "!room:x"))
		return body, err
	}
	changed := h.dir.Changed()
	for range 5 {
		_, err := send()
		require.Error(t, err)
	}
	select {
	case <-changed: // it is avoided, so that all find the same new owner
	case <-time.After(patience):
		require.Fail(t, "nobody else hears that it fails")
	}
	for range 20 {
		body, err := send()
		require.NoError(t, err)
		require.NotEqual(t, owner.BootID, body)
	}
	h.dir.SetDown(owner, registry.PortHTTP, true)
	h.dir.SetDown(owner, registry.PortHTTP, false) // it is not avoided any more: the breaker alone counts
	for range 20 {
		body, err := send()
		require.NoError(t, err)
		require.NotEqual(t, owner.BootID, body)
	}
}

func TestCallsWithoutKeySpreadOverTheOwnZone(t *testing.T) {
	h := newHouse(t, hop.Options{Zone: "near"})
	in := func(zone string) func(*registry.Instance) { return func(i *registry.Instance) { i.Zone = zone } }
	h.start("a", says("a"), in("near"))
	near := h.start("b", says("b"), in("near"))
	h.start("c", says("c"), in("far"))
	h.known("room", 3)
	rt := h.cluster.Upstream("room")
	seen := map[string]int{}
	for range 200 {
		_, body, err := call(rt, request(t, "GET", "/", nil))
		require.NoError(t, err)
		seen[body]++
	}
	require.NotZero(t, seen["a"])
	require.NotZero(t, seen["b"])
	require.Zero(t, seen["c"])
	near.leave()
	h.known("room", 2)
	for range 20 {
		_, body, err := call(rt, request(t, "GET", "/", nil))
		require.NoError(t, err)
		require.Equal(t, "a", body)
	}
	traffic := h.cluster.Traffic()
	require.Len(t, traffic, 3)
	require.EqualValues(t, seen["a"]+20, traffic[0].Calls)
	require.Positive(t, traffic[0].Latency)
	require.Zero(t, traffic[2].Calls)
}

// Large bodies stream both ways, whole, and an instance that refuses costs no upload.
func TestLargeUploads(t *testing.T) {
	h := newHouse(t, hop.Options{MaxBodies: 4 << 20})
	sum := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(w, "%d %x", n, hash.Sum(nil))
	})
	h.start("a", sum)
	refusing := h.start("b", sum)
	h.known("room", 2)
	payload := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	want := fmt.Sprintf("%d %x", len(payload), sha256.Sum256(payload))
	rt := h.cluster.Upstream("room")
	upload := func(known bool) {
		var body io.Reader = bytes.NewReader(payload)
		if !known {
			body = io.MultiReader(body) // hides how long it is
		}
		status, got, err := call(rt, request(t, "POST", "/upload", body, httpx.HeaderOnce, "1"))
		require.NoError(t, err)
		require.Equal(t, 200, status, got)
		require.Equal(t, want, got)
	}
	upload(true)
	upload(false)
	refusing.server.Refuse()
	for n := range 6 {
		upload(n%2 == 0)
	}
}

// While nobody is there requests wait for a while, and are answered by who appears.
func TestWaitingForAnInstance(t *testing.T) {
	h := newHouse(t, hop.Options{Wait: patience, MaxWaiting: 3})
	rt := h.cluster.Upstream("room")
	dead := h.start("dead", says("dead"))
	h.known("room", 1)
	dead.kill()
	results := make(chan string, 3)
	for range 3 {
		go func() {
			_, body, err := call(rt, request(t, "POST", "/", strings.NewReader("x"), httpx.HeaderOnce, "1"))
			results <- body + fmt.Sprint(err)
		}()
	}
	require.Eventually(t, func() bool { return h.cluster.Waiting() == 3 }, patience, time.Millisecond)
	_, _, err := call(rt, request(t, "GET", "/", nil))
	require.ErrorIs(t, err, hop.ErrUnreachable, "too many wait")
	h.start("new", says("new"))
	for range 3 {
		require.Equal(t, "new x<nil>", <-results)
	}
}

func TestNobodyIsThere(t *testing.T) {
	h := newHouse(t, hop.Options{Wait: 20 * time.Millisecond})
	_, _, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
	require.ErrorIs(t, err, hop.ErrUnreachable)
	starting := h.start("a", says("a"))
	starting.put(registry.Starting)
	starting.server.Refuse()
	require.Eventually(t, func() bool { return len(h.dir.Instances("room")) == 0 && len(h.dir.All("room")) == 1 }, patience, time.Millisecond)
	_, _, err = call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
	require.ErrorIs(t, err, hop.ErrUnreachable)
	starting.put(registry.Ready) // but it refuses
	h.known("room", 1)
	_, _, err = call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
	require.ErrorContains(t, err, "refuses")
	h.cluster.Close()
	_, _, err = call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
	require.Error(t, err)
}

// The marks are for the transport alone.
func TestMarksDoNotLeave(t *testing.T) {
	h := newHouse(t, hop.Options{})
	seen := make(chan http.Header, 1)
	h.start("a", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	h.known("room", 1)
	r := request(t, "GET", "/", nil, httpx.HeaderOnce, "1", httpx.HeaderPoll, "1", httpx.HeaderKey, "k", "X-Hongyan-User", "@a:x")
	_, _, err := call(h.cluster.Upstream("room"), r)
	require.NoError(t, err)
	header := <-seen
	require.Empty(t, header.Get(httpx.HeaderOnce))
	require.Empty(t, header.Get(httpx.HeaderPoll))
	require.Equal(t, "k", header.Get(httpx.HeaderKey))
	require.Equal(t, "@a:x", header.Get("X-Hongyan-User"))
	require.Equal(t, "1", r.Header.Get(httpx.HeaderOnce), "the caller's request stays")
}
