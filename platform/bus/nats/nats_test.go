package nats_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
	"hongyan/platform/bus/bustest"
	"hongyan/platform/bus/nats"
	"hongyan/platform/obs"
	"hongyan/platform/obs/obstest"
	"hongyan/test/freeport"
)

func TestMain(m *testing.M) { obstest.Main(m) }

func startServer(t *testing.T, port int) *nats.Server {
	t.Helper()
	server, err := nats.StartServer(nats.ServerConfig{Host: "127.0.0.1", Port: port})
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server
}

func TestConforms(t *testing.T) {
	server := startServer(t, -1)
	bustest.Run(t, func(*testing.T) bustest.Harness {
		return bustest.Harness{Open: func(t *testing.T, queue int) bus.Bus {
			b, err := nats.Open(nats.Config{URLs: []string{server.URL()}, Queue: queue})
			require.NoError(t, err)
			return b
		}}
	})
}

// NATS may come later and go in between: subscriptions are made good, messages of the time without it are lost.
func TestServerComesAndGoes(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().(*net.TCPAddr)
	require.NoError(t, listener.Close())
	b, err := nats.Open(nats.Config{URLs: []string{"nats://127.0.0.1:" + strconv.Itoa(addr.Port)}})
	require.NoError(t, err, "it need not be there yet")
	defer func() { require.NoError(t, b.Close()) }()
	got := make(chan string, 100)
	_, err = b.Subscribe("a", func(m bus.Message) { got <- string(m.Data) })
	require.NoError(t, err)
	require.False(t, b.Connected())
	require.Error(t, b.Publish(t.Context(), "a", []byte("lost")), "nobody will get it")
	for _, word := range []string{"first", "second"} {
		server := startServer(t, addr.Port)
		require.Eventually(t, b.Connected, patience, time.Millisecond)
		require.Eventually(t, func() bool { return b.Publish(t.Context(), "a", []byte(word)) == nil }, patience, time.Millisecond)
		select {
		case text := <-got:
			require.Equal(t, word, text)
		case <-time.After(patience):
			require.Fail(t, "the subscription was not made good")
		}
		server.Close()
		require.Eventually(t, func() bool { return !b.Connected() }, patience, time.Millisecond)
	}
}

func TestToken(t *testing.T) {
	server, err := nats.StartServer(nats.ServerConfig{Host: "127.0.0.1", Port: -1, Token: "right"})
	require.NoError(t, err)
	defer server.Close()
	b, err := nats.Open(nats.Config{URLs: []string{server.URL()}, Token: "right"})
	require.NoError(t, err)
	require.Eventually(t, b.Connected, 20*time.Second, time.Millisecond)
	require.NoError(t, b.Close())
	dials := make(dialer, 100)
	b, err = nats.Open(nats.Config{URLs: []string{server.URL()}, Token: "wrong"}, natsgo.SetCustomDialer(dials))
	require.NoError(t, err)
	for range 4 { // it does not give up
		select {
		case <-dials:
		case <-time.After(20 * time.Second):
			require.FailNow(t, "it gave up")
		}
	}
	require.False(t, b.Connected())
	require.NoError(t, b.Close())
}

// A wrong token is said once, at the start and when the server wants another one later, and not what it is.
func TestAWrongTokenIsSaidOnce(t *testing.T) {
	const want = "cluster.bus_token is not the token that it wants"
	config := nats.ServerConfig{Host: "127.0.0.1", Port: -1, Token: "first-secret"}
	server, err := nats.StartServer(config)
	require.NoError(t, err)
	address, err := url.Parse(server.URL())
	require.NoError(t, err)
	config.Port, err = strconv.Atoi(address.Port())
	require.NoError(t, err)
	said := capture(t)
	dials := make(dialer, 1000)
	b, err := nats.Open(nats.Config{
		URLs: []string{server.URL()}, Token: "second-secret", Setting: "cluster.bus_token",
	}, natsgo.SetCustomDialer(dials))
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	dialled := func(times int) {
		t.Helper()
		before := len(dials)
		require.Eventually(t, func() bool { return len(dials) >= before+times }, patience, time.Millisecond)
	}
	dialled(15) // some seconds
	require.Equal(t, 1, strings.Count(said(), want), said())
	restart := func(token string) {
		t.Helper()
		server.Close()
		config.Token = token
		server, err = nats.StartServer(config)
		require.NoError(t, err)
	}
	restart("second-secret")
	defer func() { server.Close() }()
	require.Eventually(t, b.Connected, patience, time.Millisecond)
	restart("third-secret")
	require.Eventually(t, func() bool { return strings.Count(said(), want) == 2 }, patience, time.Millisecond, said())
	dialled(5)
	require.Equal(t, 2, strings.Count(said(), want), said())
	require.NotContains(t, strings.ToLower(said()), "authorization violation")
	require.NotContains(t, said(), "second-secret")
}

const patience = 20 * time.Second

// capture returns what is logged until the test ends.
func capture(t *testing.T) func() string {
	t.Helper()
	l := &log{}
	require.NoError(t, obs.Setup(obs.LogConfig{Level: "info", Format: "plain"}, l))
	t.Cleanup(func() { require.NoError(t, obs.Setup(obs.DefaultLogConfig(), io.Discard)) })
	return l.String
}

type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// dialer tells of each dial.
type dialer chan struct{}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	d <- struct{}{}
	return net.Dial(network, address)
}

// Clients of any server get what is published at another.
func TestRoutes(t *testing.T) {
	addresses := []string{}
	for range 3 {
		address, err := freeport.On(t.Context(), "127.0.0.1")
		require.NoError(t, err)
		addresses = append(addresses, address)
	}
	var buses []*nats.Bus
	for i, address := range addresses {
		server, err := nats.StartServer(nats.ServerConfig{
			Host: "127.0.0.1", Port: -1, Token: "right", Name: "bus-" + strconv.Itoa(i),
			Routes: &nats.Routes{Listen: address, Servers: addresses},
		})
		require.NoError(t, err)
		t.Cleanup(server.Close)
		b, err := nats.Open(nats.Config{URLs: []string{server.URL()}, Token: "right"})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		buses = append(buses, b)
	}
	got := make(chan bus.Message, 1000)
	_, err := buses[2].Subscribe("a", func(m bus.Message) { got <- m })
	require.NoError(t, err)
	for i, from := range buses {
		word := strconv.Itoa(i)
		require.Eventually(t, func() bool {
			if err := from.Publish(t.Context(), "a", []byte(word)); err != nil {
				return false
			}
			select {
			case m := <-got:
				return string(m.Data) == word
			case <-time.After(10 * time.Millisecond):
				return false
			}
		}, 20*time.Second, time.Millisecond)
	}
}

func TestBadRoutes(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1", "127.0.0.1:x"} {
		_, err := nats.StartServer(nats.ServerConfig{Host: "127.0.0.1", Port: -1, Routes: &nats.Routes{Listen: address}})
		require.ErrorContains(t, err, "routes", address)
	}
}

func TestConfig(t *testing.T) {
	require.Error(t, nats.Config{}.Validate())
	require.Error(t, nats.Config{URLs: []string{"nats://a"}, Prefix: "a.*"}.Validate())
	require.NoError(t, nats.Config{URLs: []string{"nats://a"}, Prefix: "team.chat"}.Validate())
}
