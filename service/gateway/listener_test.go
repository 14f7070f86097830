package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/service/gateway"
)

// running is a listener that serves.
type running struct {
	url      string
	stop     context.CancelFunc
	endDrain context.CancelFunc
	done     chan error
}

func serve(t *testing.T, h http.Handler, certificates *gateway.Certificates) *running {
	t.Helper()
	l := gateway.NewListener("test", h, certificates)
	require.NoError(t, l.Listen(t.Context(), "127.0.0.1:0"))
	ctx, stop := context.WithCancel(t.Context())
	drain, endDrain := context.WithCancel(t.Context())
	r := &running{url: "http://" + l.Addr().String(), stop: stop, endDrain: endDrain, done: make(chan error, 1)}
	go func() { r.done <- l.Run(ctx, drain) }()
	t.Cleanup(func() {
		stop()
		endDrain()
	})
	return r
}

func TestStoppingWaitsForRequests(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	r := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "answered")
	}), nil)
	body := make(chan string, 1)
	go func() { body <- fetch(t, http.DefaultTransport, r.url) }()
	<-entered
	r.stop()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", r.url[len("http://"):])
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 10*time.Second, time.Millisecond, "the port stays open")
	close(release)
	require.Equal(t, "answered", <-body)
	require.NoError(t, <-r.done)
}

func TestTheDrainEnds(t *testing.T) {
	entered := make(chan struct{})
	r := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		close(entered)
		<-req.Context().Done()
	}), nil)
	failed := make(chan string, 1)
	go func() { failed <- fetch(t, http.DefaultTransport, r.url) }()
	<-entered
	r.stop()
	r.endDrain()
	require.NoError(t, <-r.done)
	require.Empty(t, <-failed)
}

// TestUnusedConnectionsAreNotWaitedFor has a connection that was opened in advance, as browsers do.
func TestUnusedConnectionsAreNotWaitedFor(t *testing.T) {
	r := serve(t, http.NotFoundHandler(), nil)
	c, err := net.Dial("tcp", r.url[len("http://"):])
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.Equal(t, "404 page not found\n", fetch(t, http.DefaultTransport, r.url), "c was accepted before this")
	r.stop()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(4*time.Second))) // net/http itself would wait for five
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, <-r.done)
}

func TestLocalhostIsBothLoopbackAddresses(t *testing.T) {
	l := gateway.NewListener("test", http.NotFoundHandler(), nil)
	require.NoError(t, l.Listen(t.Context(), "localhost:0"))
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	second := gateway.NewListener("test", http.NotFoundHandler(), nil)
	require.ErrorContains(t, second.Listen(t.Context(), "localhost:"+port), "address already in use")
	if probe, err := net.Listen("tcp", "[::1]:0"); err == nil { // this machine speaks IPv6
		require.NoError(t, probe.Close())
		require.Error(t, second.Listen(t.Context(), "[::1]:"+port))
	}
	require.Error(t, second.Listen(t.Context(), "nonsense"))
}

func fetch(t *testing.T, rt http.RoundTripper, url string) string {
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	req.Close = true
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	raw, _ := io.ReadAll(resp.Body)
	return string(raw)
}

// certificate writes a self-signed certificate for a name, and its key.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

func TestHTTPSWithARenewedCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "first.example")
	at := newClock()
	certificates, err := gateway.LoadCertificates(cert, key, at.Now)
	require.NoError(t, err)
	r := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, req.Proto)
	}), certificates)
	served := func() (names []string, proto string) {
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true,
			VerifyConnection: func(state tls.ConnectionState) error {
				names = state.PeerCertificates[0].DNSNames
				return nil
			},
		}}
		defer transport.CloseIdleConnections()
		proto = fetch(t, transport, "https"+r.url[len("http"):])
		return names, proto
	}
	names, proto := served()
	require.Equal(t, []string{"first.example"}, names)
	require.Equal(t, "HTTP/2.0", proto)

	certificate(t, dir, "second.example")
	later := time.Now().Add(time.Second)
	require.NoError(t, os.Chtimes(cert, later, later)) // the clock of the file system may be coarse
	names, _ = served()
	require.Equal(t, []string{"first.example"}, names, "the files are looked at once a minute")
	at.add(time.Minute)
	names, _ = served()
	require.Equal(t, []string{"second.example"}, names)

	require.NoError(t, os.Remove(key))
	at.add(time.Minute)
	names, _ = served()
	require.Equal(t, []string{"second.example"}, names, "the last good one stays")

	_, err = gateway.LoadCertificates(cert, key, at.Now)
	require.ErrorContains(t, err, key)
}

// Answered waits for the requests that are in hand, and for no others.
func TestAnswered(t *testing.T) {
	entered, release := make(chan struct{}), map[string]chan struct{}{"/first": make(chan struct{}), "/second": make(chan struct{})}
	l := gateway.NewListener("test", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release[r.URL.Path]
	}), nil)
	require.NoError(t, l.Listen(t.Context(), "127.0.0.1:0"))
	<-l.Answered() // nothing is in hand
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, t.Context()) }()
	var fetching sync.WaitGroup
	get := func(path string) {
		fetching.Go(func() { fetch(t, http.DefaultTransport, "http://"+l.Addr().String()+path) })
		<-entered
	}
	get("/first")
	answered := l.Answered()
	get("/second")
	select {
	case <-answered:
		require.Fail(t, "the first is in hand")
	default:
	}
	close(release["/first"])
	<-answered
	close(release["/second"])
	stop()
	fetching.Wait()
	require.NoError(t, <-done)
}

// While the last answers are waited for, whoever comes is answered, but nobody waits for news.
func TestNoPollsWhileTheDoorCloses(t *testing.T) {
	e := newEdge(t, edgeOptions{})
	l := gateway.NewListener("test", e.service, nil)
	require.NoError(t, l.Listen(t.Context(), "127.0.0.1:0"))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, t.Context()) }()
	e.url = "http://" + l.Addr().String()
	<-l.Answered()
	require.Equal(t, 200, e.get("/_matrix/client/v3/account/whoami", token("tok-alice")).status)
	poll := e.get("/_matrix/client/v3/sync", token("tok-alice"))
	require.Equal(t, 503, poll.status)
	require.NotEmpty(t, poll.header.Get("Retry-After"))
	stop()
	require.NoError(t, <-done)
}
