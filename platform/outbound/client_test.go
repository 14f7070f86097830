package outbound_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/outbound"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// allowed is the one address of this machine that tests let their clients reach; upstreams listen on all of them.
const allowed = "127.0.0.1"

// upstream is a server on all addresses of this machine.
type upstream struct {
	*httptest.Server
	port string
	hits atomic.Int64
}

func newUpstream(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.hits.Add(1)
		handler(w, r)
	}))
	require.NoError(t, u.Listener.Close())
	var err error
	u.Listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0")
	require.NoError(t, err)
	u.Start()
	t.Cleanup(u.Close)
	_, u.port, err = net.SplitHostPort(u.Listener.Addr().String())
	require.NoError(t, err)
	return u
}

func (u *upstream) at(host string) string { return "http://" + net.JoinHostPort(host, u.port) }

func client(t *testing.T, change func(*outbound.Config)) *outbound.Client {
	t.Helper()
	cfg := outbound.Config{
		Allow: []netip.Prefix{netip.MustParsePrefix(allowed + "/32")}, Ports: []int{0}, MaxRedirects: 3, Timeout: 20 * time.Second,
		UserAgent: "tester",
	}
	if change != nil {
		change(&cfg)
	}
	c, err := outbound.New(cfg)
	require.NoError(t, err)
	return c
}

func get(t *testing.T, c *outbound.Client, address string, maxBytes int64) (string, error) {
	t.Helper()
	res, err := c.Open(t.Context(), address, nil, maxBytes)
	if err != nil {
		return "", err
	}
	defer func() { require.NoError(t, res.Body.Close()) }()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// names is a resolver that answers each name with the addresses that follow one another, the last for ever.
func names(t *testing.T, table map[string][]string) *net.Resolver {
	t.Helper()
	var mu sync.Mutex
	asked := map[string]int{}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		defer mu.Unlock()
		answer := new(dns.Msg)
		answer.SetReply(q)
		name := q.Question[0].Name
		list := table[strings.TrimSuffix(name, ".")]
		v6 := q.Question[0].Qtype == dns.TypeAAAA
		if len(list) > 0 {
			addr := netip.MustParseAddr(list[min(asked[name], len(list)-1)])
			head := dns.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET}
			switch {
			case v6 && addr.Is6():
				answer.Answer = []dns.RR{&dns.AAAA{Hdr: head, AAAA: addr.AsSlice()}}
				asked[name]++
			case !v6 && addr.Is4():
				answer.Answer = []dns.RR{&dns.A{Hdr: head, A: addr.AsSlice()}}
				asked[name]++
			}
		}
		_ = w.WriteMsg(answer) // who asked may be gone
	})
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, Handler: handler, NotifyStartedFunc: func() { close(started) }}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		require.NoError(t, server.Shutdown())
		require.NoError(t, <-done)
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestGet(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s|%s|%s|%s", r.URL, r.Header.Get("User-Agent"), r.Header.Get("Accept-Language"), r.Header.Get("Referer"))
	})
	c := client(t, nil)
	res, err := c.Open(t.Context(), u.at(allowed)+"/a?b=c", http.Header{"Accept-Language": {"de"}}, 1000)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "/a?b=c|tester|de|", string(text))

	res, err = c.Open(t.Context(), u.at(allowed)+"/a?q=a b HTTP/1.0日%20", nil, 1000)
	require.NoError(t, err)
	text, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "/a?q=a%20b%20HTTP/1.0%E6%97%A5%20|tester||", string(text), "what may not stand in a request line is written out")
}

// TestUnreachable asks for what only this machine reaches, in every way there is to name it. The upstream listens there: nothing but
// the client's judgement keeps it from being asked.
func TestUnreachable(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") })
	c := client(t, func(cfg *outbound.Config) {
		cfg.Allow = nil
		cfg.Resolver = names(t, map[string][]string{
			"four.test": {"127.0.0.1"}, "six.test": {"::1"}, "mapped.test": {"::ffff:127.0.0.1"}, "any.test": {"0.0.0.0"},
			"cloud.test": {"169.254.169.254"}, "anysix.test": {"::"},
		})
	})
	for _, host := range []string{
		"127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "localhost",
		"four.test", "six.test", "mapped.test", "any.test", "anysix.test", "cloud.test",
	} {
		_, err := get(t, c, u.at(host), 1000)
		require.ErrorIs(t, err, outbound.ErrRefused, host)
	}
	require.Zero(t, u.hits.Load())
	// What resolvers and people make of these differs; none of it arrives.
	for _, host := range []string{"127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1"} {
		_, err := get(t, c, u.at(host), 1000)
		require.Error(t, err, host)
	}
	require.Zero(t, u.hits.Load())
}

// TestRedirects leads to what may not be reached by way of what may.
func TestRedirects(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch to := r.URL.Query().Get("to"); to {
		case "":
			_, _ = io.WriteString(w, "arrived from "+r.Header.Get("Referer"))
		case "loop":
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		default:
			http.Redirect(w, r, to, http.StatusFound)
		}
	})
	c := client(t, func(cfg *outbound.Config) { cfg.Deny = []string{"denied.test"} })
	start := u.at(allowed) + "/?to="
	text, err := get(t, c, start+u.at(allowed), 1000)
	require.NoError(t, err)
	require.Equal(t, "arrived from ", text)

	_, err = get(t, c, start+"loop", 1000)
	require.ErrorIs(t, err, outbound.ErrRedirects)
	require.EqualValues(t, 2+4, u.hits.Load())
	for _, to := range []string{
		u.at("127.0.0.2"), u.at("::1"), u.at("::ffff:127.0.0.2"), "http://169.254.169.254/latest/meta-data", "file:///etc/passwd",
		"http://user:password@" + allowed + ":" + u.port, "http://denied.test/", "ftp://" + allowed,
	} {
		before := u.hits.Load()
		_, err := get(t, c, start+to, 1000)
		require.ErrorIs(t, err, outbound.ErrRefused, to)
		require.Equal(t, before+1, u.hits.Load(), to)
	}
}

// TestRebinding has a name that is allowed when it is first looked up and this machine's at the redirect.
func TestRebinding(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/second" {
			_, _ = io.WriteString(w, "secret")
			return
		}
		http.Redirect(w, r, "/second", http.StatusFound)
	})
	c := client(t, func(cfg *outbound.Config) {
		cfg.Resolver = names(t, map[string][]string{"rebinding.test": {allowed, "127.0.0.2"}, "steady.test": {allowed}})
	})
	text, err := get(t, c, u.at("steady.test"), 1000)
	require.NoError(t, err)
	require.Equal(t, "secret", text)
	before := u.hits.Load()
	_, err = get(t, c, u.at("rebinding.test"), 1000)
	require.ErrorIs(t, err, outbound.ErrRefused)
	require.Equal(t, before+1, u.hits.Load())
}

// TestNoProxy has a proxy in the environment, which would reach anything for us.
func TestNoProxy(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "proxied") })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, u.at(allowed))
	}
	c := client(t, func(cfg *outbound.Config) { cfg.Resolver = names(t, map[string][]string{"site.test": {"127.0.0.9"}}) })
	_, err := get(t, c, "http://site.test/", 1000)
	require.ErrorIs(t, err, outbound.ErrRefused)
	require.Zero(t, u.hits.Load())
}

func compressed(t *testing.T, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(make([]byte, size))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// TestBounds has answers that are more than one wants to hear.
func TestBounds(t *testing.T) {
	bomb, fits := compressed(t, 10<<20), compressed(t, 1000)
	empty := compressed(t, 0)
	endless := func(w http.ResponseWriter, text []byte) {
		for {
			if _, err := w.Write(text); err != nil {
				return
			}
		}
	}
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fits":
			_, _ = w.Write(make([]byte, 1000))
		case "/long":
			_, _ = w.Write(make([]byte, 1001))
		case "/endless":
			endless(w, make([]byte, 4096))
		case "/bomb", "/zipped", "/nothing":
			w.Header().Set("Content-Encoding", "gzip")
			switch r.URL.Path {
			case "/bomb":
				_, _ = w.Write(bomb)
			case "/zipped":
				_, _ = w.Write(fits)
			default: // compressed nothing, again and again
				endless(w, empty)
			}
		case "/brotli":
			w.Header().Set("Content-Encoding", "br")
			_, _ = io.WriteString(w, "x")
		case "/headers":
			for i := range 1000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
			}
		}
	})
	c := client(t, nil)
	for path, want := range map[string]error{
		"/fits": nil, "/zipped": nil, "/long": outbound.ErrTooLarge, "/endless": outbound.ErrTooLarge, "/bomb": outbound.ErrTooLarge,
		"/nothing": outbound.ErrTooLarge,
	} {
		text, err := get(t, c, u.at(allowed)+path, 1000)
		require.LessOrEqual(t, len(text), 1000, path)
		if want == nil {
			require.NoError(t, err, path)
			require.Len(t, text, 1000, path)
			continue
		}
		require.ErrorIs(t, err, want, path)
	}
	for _, path := range []string{"/brotli", "/headers"} {
		_, err := get(t, c, u.at(allowed)+path, 1000)
		require.Error(t, err, path)
	}
}

// TestTimeout has an upstream that gives a byte now and then, for ever.
func TestTimeout(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush() // it is over when the client says so
			case <-r.Context().Done():
				return
			}
		}
	})
	c := client(t, func(cfg *outbound.Config) { cfg.Timeout = 200 * time.Millisecond })
	_, err := get(t, c, u.at(allowed), 1<<20)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestAtOnce has more requests than there may be at once: the others wait until one has been read.
func TestAtOnce(t *testing.T) {
	var now, top atomic.Int64
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := top.Load(); n > old && !top.CompareAndSwap(old, n); old = top.Load() {
		}
		_, _ = io.WriteString(w, "done")
	})
	c := client(t, func(cfg *outbound.Config) { cfg.AtOnce = 2 })
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			text, err := get(t, c, u.at(allowed), 100)
			if err != nil || text != "done" {
				t.Errorf("got %q, %v", text, err)
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, top.Load(), int64(2))

	// Who holds all places keeps others out, until their patience ends.
	held := make([]*http.Response, 2)
	for i := range held {
		var err error
		held[i], err = c.Open(t.Context(), u.at(allowed), nil, 100) //nolint:bodyclose // below
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	before := u.hits.Load()
	_, err := c.Open(ctx, u.at(allowed), nil, 100) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, before, u.hits.Load())
	for _, res := range held {
		require.NoError(t, res.Body.Close())
		require.NoError(t, res.Body.Close()) // once more gives no place back
	}
	_, err = get(t, c, u.at(allowed), 100)
	require.NoError(t, err)
}

// TestSlowHost has many wait for one host that answers nobody: they keep no place from others, and are forgotten when they leave.
func TestSlowHost(t *testing.T) {
	slow := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	fast := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fast") })
	c := client(t, func(cfg *outbound.Config) { cfg.AtOnce, cfg.HostAtOnce = 3, 2 })
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			_, err := c.Open(ctx, slow.at(allowed), nil, 100) //nolint:bodyclose // there is none
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	require.Eventually(t, func() bool {
		return outbound.Waiting(c, net.JoinHostPort(allowed, slow.port)) == 6 && slow.hits.Load() == 2
	}, 20*time.Second, time.Millisecond)
	text, err := get(t, c, fast.at(allowed), 100)
	require.NoError(t, err)
	require.Equal(t, "fast", text)
	require.EqualValues(t, 2, slow.hits.Load(), "no more at once than one host may have")
	require.Equal(t, 1, outbound.Hosts(c))
	leave()
	all.Wait()
	require.Zero(t, outbound.Hosts(c))
}

// TestTLS trusts nobody's certificate that it was not told to trust.
func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "safe") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // that it is not trusted is what is tested
	server.StartTLS()
	t.Cleanup(server.Close)
	_, err := get(t, client(t, nil), server.URL, 100)
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	text, err := get(t, client(t, func(cfg *outbound.Config) { cfg.RootCAs = pool }), server.URL, 100)
	require.NoError(t, err)
	require.Equal(t, "safe", text)
}
