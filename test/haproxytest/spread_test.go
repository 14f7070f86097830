package haproxytest_test

import (
	"context"
	"fmt"
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

	"hongyan/platform/discovery"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
	"hongyan/test/haproxytest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

const patience = 30 * time.Second

// gateway is a server that plays one.
type gateway struct {
	registry.Instance
	server  *httptest.Server
	served  atomic.Int64
	leaving atomic.Bool
	// slow gets a value when a request for slowPath comes, which is answered when answer is closed.
	slow, answer chan struct{}
}

const slowPath = "/slow"

func newGateway(t *testing.T, id string) *gateway { return newGatewayAt(t, id, "127.0.0.1:0") }

func newGatewayAt(t *testing.T, id, addr string) *gateway {
	t.Helper()
	g := &gateway{slow: make(chan struct{}, 1), answer: make(chan struct{})}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/_hongyan/health":
			if g.leaving.Load() {
				w.WriteHeader(http.StatusNotFound)
			}
			return
		case slowPath:
			g.slow <- struct{}{}
			<-g.answer
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		g.served.Add(1)
		_, _ = w.Write(append([]byte(r.URL.Path+" "), body...))
	}))
	require.NoError(t, g.server.Listener.Close())
	var err error
	g.server.Listener, err = net.Listen("tcp", addr)
	require.NoError(t, err)
	g.server.Start()
	t.Cleanup(g.server.Close)
	g.Instance = registry.Instance{
		Service: "gateway", BootID: id, HTTP: g.server.Listener.Addr().String(), State: registry.Ready,
	}
	return g
}

// die ends it as a kill does: nobody is told.
func (g *gateway) die() {
	_ = g.server.Listener.Close()
	g.server.CloseClientConnections()
}

// takesOver waits until it has served some requests more.
func (g *gateway) takesOver(t *testing.T) {
	t.Helper()
	before := g.served.Load()
	require.Eventually(t, func() bool { return g.served.Load() > before+20 }, patience, time.Millisecond, g.BootID)
}

// running runs something until the test ends.
func running(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// nameServer returns the address of a name server for what is registered in the store.
func nameServer(t *testing.T, store *memory.Store) string {
	t.Helper()
	r := store.Open()
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	d, err := registry.NewDirectory(r, registry.DirectoryConfig{Shards: 1, ShardOf: func(string, int) int { return 0 }})
	require.NoError(t, err)
	running(t, d.Run)
	server, err := discovery.NewDNS(discovery.DNSConfig{Listen: "127.0.0.1:0"}, d, time.Now)
	require.NoError(t, err)
	addr, err := server.Listen(t.Context())
	require.NoError(t, err)
	running(t, server.Run)
	return addr
}

// load sends requests from several clients until stop, which says what failed.
func load(ctx context.Context, url string) (stop func() (sent int64, failures []string)) {
	ctx, cancel := context.WithCancel(ctx)
	var sent atomic.Int64
	var mu sync.Mutex
	var failures []string
	var clients sync.WaitGroup
	for n := range 6 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
			defer client.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				method := []string{http.MethodGet, http.MethodPut}[i%2]
				err := once(client, method, fmt.Sprintf("%s/client/%d/%d", url, n, i))
				if err != nil {
					mu.Lock()
					failures = append(failures, err.Error())
					mu.Unlock()
				}
				sent.Add(1)
				select {
				case <-ctx.Done():
				case <-time.After(2 * time.Millisecond):
				}
			}
		})
	}
	return func() (int64, []string) {
		cancel()
		clients.Wait()
		return sent.Load(), failures
	}
}

// once sends one request, which is not cut off when the load ends.
func once(client *http.Client, method, url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	body := ""
	if method == http.MethodPut {
		body = "body of " + url
	}
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("X-Hongyan-Retry-Key", "mine")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || string(text) != r.URL.Path+" "+body) {
		err = fmt.Errorf("%s %s: %s: %q", method, url, answer.Status, text)
	}
	return err
}

// Servers that HAProxy finds by DNS share the load while they come, leave and die, and no client sees it.
func TestSpreadsOverWhatComesAndGoes(t *testing.T) {
	store := memory.NewStore()
	mine := store.Open()
	t.Cleanup(func() { require.NoError(t, mine.Close()) })
	proxy := haproxytest.Start(t, haproxytest.Config{
		DNS: nameServer(t, store), Name: "_http._tcp.gateway." + discovery.DefaultZone, Slots: 5,
	})
	a, b, c, d := newGateway(t, "a"), newGateway(t, "b"), newGateway(t, "c"), newGateway(t, "d")
	for _, g := range []*gateway{a, b, c} {
		require.NoError(t, mine.Put(t.Context(), g.Instance))
	}
	proxy.Await(t, a.HTTP, b.HTTP, c.HTTP)
	stop := load(t.Context(), proxy.URL)
	for _, g := range []*gateway{a, b, c} {
		g.takesOver(t)
	}

	require.NoError(t, mine.Put(t.Context(), d.Instance)) // one comes
	proxy.Await(t, a.HTTP, b.HTTP, c.HTTP, d.HTTP)
	d.takesOver(t)

	a.leaving.Store(true) // one leaves as gateways do: says so, deregisters, drains, ends
	require.NoError(t, mine.Remove(t.Context(), a.Instance))
	proxy.Await(t, b.HTTP, c.HTTP, d.HTTP)
	a.server.Close()
	b.takesOver(t)

	b.die() // its record stays a while
	proxy.Await(t, c.HTTP, d.HTTP)
	require.NoError(t, mine.Remove(t.Context(), b.Instance))
	c.takesOver(t)

	e := newGateway(t, "e") // one is restarted elsewhere
	require.NoError(t, mine.Put(t.Context(), e.Instance))
	proxy.Await(t, c.HTTP, d.HTTP, e.HTTP)
	e.takesOver(t)
	sent, failures := stop()
	require.Empty(t, failures)
	t.Logf("%d requests, none failed; HAProxy counts %+v", sent, proxy.Servers(t))
}

// What is sent to a server that dies with it is not sent again when that may do it twice.
func TestRepeatsOnlyWhatIsHarmless(t *testing.T) {
	var mu sync.Mutex
	tried := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_hongyan/health", func(http.ResponseWriter, *http.Request) {})
	keys := map[string]bool{}
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		tried[r.Method+" "+r.URL.Path]++
		keys[strings.Join(r.Header.Values("X-Hongyan-Retry-Key"), ",")] = true
		mu.Unlock()
		panic(http.ErrAbortHandler)
	})
	var addrs []string
	for range 2 {
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		addrs = append(addrs, server.Listener.Addr().String())
	}
	proxy := haproxytest.Start(t, haproxytest.Config{Servers: addrs})
	proxy.Await(t, addrs...)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	const v3 = "/_matrix/client/v3"
	again := map[string]bool{
		"GET " + v3 + "/sync": true, "PUT " + v3 + "/directory/room/a": true, "DELETE " + v3 + "/directory/room/a": true,
		"POST " + v3 + "/login": false, "POST " + v3 + "/createRoom": false, "DELETE " + v3 + "/devices/a": false,
		"DELETE " + v3 + "/pushrules/global/room/a": false,
	}
	for request := range again {
		method, path, _ := strings.Cut(request, " ")
		require.Error(t, once(client, method, proxy.URL+path))
	}
	mu.Lock()
	defer mu.Unlock()
	for request, again := range again {
		require.Equal(t, again, tried[request] > 1, "%s came %d times", request, tried[request])
		require.Positive(t, tried[request], request)
	}
	require.Len(t, keys, len(again), "one key for each request, whatever the client says")
	require.False(t, keys[""] || keys["mine"])
}
