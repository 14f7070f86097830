package nats_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
	"hongyan/platform/bus/bustest"
	"hongyan/platform/bus/nats"
	"hongyan/platform/obs/obstest"
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
	const patience = 20 * time.Second
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

// dialer tells of each dial.
type dialer chan struct{}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	d <- struct{}{}
	return net.Dial(network, address)
}

func TestConfig(t *testing.T) {
	require.Error(t, nats.Config{}.Validate())
	require.Error(t, nats.Config{URLs: []string{"nats://a"}, Prefix: "a.*"}.Validate())
	require.NoError(t, nats.Config{URLs: []string{"nats://a"}, Prefix: "team.chat"}.Validate())
}
