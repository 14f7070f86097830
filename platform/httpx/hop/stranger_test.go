package hop_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx"
	"hongyan/platform/httpx/hop"
	"hongyan/platform/registry"
)

// A service of the program says who it is: whoever else answers at its address is not it.
func TestAStrangerAtAPort(t *testing.T) {
	for name, own := range map[string]bool{"of the program": true, "foreign": false} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, hop.Options{SilenceTimeout: 100 * time.Millisecond, Wait: time.Millisecond})
			var healthy, asked atomic.Int64
			var broken *port
			stranger := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != httpx.HealthPath {
					broken.breakConns()
					return
				}
				asked.Add(1)
				if healthy.Load() == 0 {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}))
			stranger.Config.Protocols = httpx.ServerProtocols()
			broken = &port{Listener: stranger.Listener}
			stranger.Listener = broken
			stranger.Start()
			t.Cleanup(stranger.Close)
			record := registry.Instance{Service: "room", BootID: "a", HTTP: stranger.Listener.Addr().String(), State: registry.Ready}
			if !own {
				foreign(&record)
			}
			h.register(record)
			h.known("room", 1)
			require.Eventually(t, func() bool {
				_, _, err := call(h.cluster.Upstream("room"), request(t, "GET", "/", nil))
				return err != nil && h.dir.IsDown(record, registry.PortHTTP)
			}, patience, time.Millisecond)
			healthy.Store(1)
			if !own {
				require.Eventually(t, func() bool { return !h.dir.IsDown(record) }, patience, time.Millisecond)
				return
			}
			before := asked.Load()
			require.Eventually(t, func() bool { return asked.Load() > before+2 }, patience, time.Millisecond)
			require.True(t, h.dir.IsDown(record, registry.PortHTTP))
		})
	}
}

// Connections that nobody needs are closed without waiting for one that is being made to a hung instance.
func TestPruningDoesNotWait(t *testing.T) {
	authority := newAuthority(t)
	h := newHouse(t, hop.Options{TLS: authority.client(), Wait: time.Millisecond})
	came := make(chan struct{}, 16)
	record := registry.Instance{Service: "room", BootID: "a", State: registry.Ready, HTTP: listen(t, func(c net.Conn) {
		came <- struct{}{}
		_, _ = io.Copy(io.Discard, c) // it says nothing
	})}
	reg := h.store.Open()
	t.Cleanup(func() { require.NoError(t, reg.Close()) })
	require.NoError(t, reg.Put(t.Context(), record))
	h.known("room", 1)
	other := record
	other.BootID, other.HTTP = "b", "127.0.0.1:1"
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = call(h.cluster.Upstream("room"), request(t, "GET", "/", nil).WithContext(ctx))
	}()
	<-came
	cancel()
	<-done
	require.NoError(t, reg.Remove(t.Context(), record))
	require.NoError(t, reg.Put(t.Context(), other))
	require.Eventually(t, func() bool { return h.dir.All("room")[0].BootID == "b" }, patience, time.Millisecond)
	connecting := h.cluster.Connecting(record)
	require.True(t, connecting())
	h.cluster.Prune()
	require.True(t, connecting(), "it waited until the connection was given up")
}

// Where some of a service's instances have what is asked for, the others are passed over, the owner of the key too.
func TestOnlySomeInstancesServe(t *testing.T) {
	h := newHouse(t, hop.Options{Wait: time.Millisecond})
	for _, id := range []string{"a", "b", "c"} {
		h.start(id, says(id))
	}
	h.known("room", 3)
	serving := func(id string) http.RoundTripper {
		return h.cluster.UpstreamOf("room", func(i registry.Instance) bool { return i.BootID == id })
	}
	for n := range 30 {
		_, body, err := call(serving("b"), request(t, "GET", "/", nil, httpx.HeaderKey, strings.Repeat("x", n)))
		require.NoError(t, err)
		require.Equal(t, "b", body)
	}
	_, _, err := call(serving("nobody"), request(t, "GET", "/", nil))
	require.ErrorIs(t, err, hop.ErrUnreachable)
}

// Who refuses has not answered, and has not failed either.
func TestRefusalsAreCountedApart(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := newHouse(t, hop.Options{Metrics: reg, Wait: time.Millisecond})
	a := h.start("a", says("a"))
	h.known("room", 1)
	rt := h.cluster.Upstream("room")
	_, _, err := call(rt, request(t, "GET", "/", nil))
	require.NoError(t, err)
	a.server.Refuse()
	_, _, err = call(rt, request(t, "GET", "/", nil))
	require.Error(t, err)
	a.server.Open()
	counts := map[string]float64{}
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "hongyan_hop_attempts_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "outcome" {
					counts[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	require.InDelta(t, 1, counts["answered"], 0)
	require.Positive(t, counts["ignored"])
	require.Zero(t, counts["failed"])
}
