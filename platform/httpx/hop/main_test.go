package hop_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/httpx/hop"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// patience is how long something that must happen may take: it only ends tests that have failed.
const patience = 30 * time.Second

const shards = 16

func shardOf(key string, shards int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(shards))
}

// house is a registry with instances behind real ports, and a cluster that reaches them.
type house struct {
	t       *testing.T
	store   *memory.Store
	dir     *registry.Directory
	cluster *hop.Cluster
}

func newHouse(t *testing.T, options hop.Options) *house {
	t.Helper()
	h := &house{t: t, store: memory.NewStore()}
	reg := h.store.Open()
	dir, err := registry.NewDirectory(reg, registry.DirectoryConfig{Shards: shards, ShardOf: shardOf})
	require.NoError(t, err)
	h.dir = dir
	h.cluster = hop.NewCluster(dir, options)
	run(t, dir.Run)
	run(t, h.cluster.Run)
	t.Cleanup(func() { require.NoError(t, reg.Close()) })
	return h
}

// run runs something until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// instance is a service in a process of its own, as far as others can tell.
type instance struct {
	t        *testing.T
	record   registry.Instance
	registry *memory.Registry
	server   *hop.Server
	port     *port
	stop     context.CancelFunc
	cut      context.CancelFunc
	done     chan error
}

// start registers an instance that serves handler; change may alter its record.
func (h *house) start(id string, handler http.Handler, change ...func(*registry.Instance)) *instance {
	h.t.Helper()
	server, err := hop.NewServer(hop.ServerOptions{Name: "room", BootID: id, Handler: handler})
	require.NoError(h.t, err)
	i := h.serve(id, server, change...)
	server.Open()
	i.put(registry.Ready)
	return i
}

// serve runs a server without registering it.
func (h *house) serve(id string, server *hop.Server, change ...func(*registry.Instance)) *instance {
	h.t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(h.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(h.t, err)
	i := &instance{t: h.t, registry: h.store.Open(), server: server, port: &port{Listener: ln}, done: make(chan error, 1)}
	i.record = registry.Instance{Service: "room", BootID: id, HTTP: ln.Addr().String(), Started: time.Now()}
	for _, f := range change {
		f(&i.record)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(h.t.Context()))
	drain, cut := context.WithCancel(context.WithoutCancel(h.t.Context()))
	i.stop, i.cut = stop, cut
	go func() { i.done <- server.Run(ctx, drain, i.port) }()
	h.t.Cleanup(func() {
		i.kill()
		require.NoError(h.t, i.registry.Close())
	})
	return i
}

// register registers a record without a server.
func (h *house) register(record registry.Instance) {
	reg := h.store.Open()
	require.NoError(h.t, reg.Put(h.t.Context(), record))
	h.t.Cleanup(func() { require.NoError(h.t, reg.Close()) })
}

func (i *instance) put(state registry.State) {
	i.record.State = state
	require.NoError(i.t, i.registry.Put(context.WithoutCancel(i.t.Context()), i.record))
}

// leave deregisters it.
func (i *instance) leave() { require.NoError(i.t, i.registry.Remove(i.t.Context(), i.record)) }

// kill ends it as SIGKILL does: its connections break, its record stays.
func (i *instance) kill() {
	_ = i.port.Close()
	i.port.cut()
	i.cut()
	i.stop()
	i.port.cut()
	if err := <-i.done; err != nil && !errors.Is(err, net.ErrClosed) {
		require.NoError(i.t, err)
	}
	i.done <- nil
}

// port is a listener whose connections the test can break.
type port struct {
	net.Listener
	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func (p *port) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
	if p.closed {
		_ = c.Close()
	}
	return c, nil
}

// cut breaks the connections, and those that come.
func (p *port) cut() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.breakConns()
}

// breakConns breaks the connections that there are.
func (p *port) breakConns() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

// known waits until the directory names so many usable instances.
func (h *house) known(service string, n int) {
	h.t.Helper()
	require.Eventually(h.t, func() bool { return len(h.dir.Instances(service)) == n }, patience, time.Millisecond)
}

// request makes a request; headers come in pairs.
func request(t *testing.T, method, path string, body io.Reader, headers ...string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, method, "http://service.test"+path, body)
	require.NoError(t, err)
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	return r
}

// call sends a request and returns the status and body of the answer.
func call(rt http.RoundTripper, r *http.Request) (int, string, error) {
	res, err := rt.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return 0, "", fmt.Errorf("read the answer: %w", err)
	}
	return res.StatusCode, string(body), nil
}

// says answers with a name, and what it was sent.
func says(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, strings.TrimSpace(name+" "+string(body)))
	})
}
