package nats_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus"
	"hongyan/platform/bus/nats"
	"hongyan/platform/registry/registrytest"
)

// A NATS that is silent while its connections stay open holds up nobody who publishes, asks or subscribes.
func TestSilentServerHoldsUpNobody(t *testing.T) {
	const patience = 30 * time.Second
	server := startServer(t, -1)
	proxy := registrytest.NewProxy(t, strings.TrimPrefix(server.URL(), "nats://"))
	b, err := nats.Open(nats.Config{URLs: []string{"nats://" + proxy.Addr()}})
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	got := make(chan string, 10000)
	_, err = b.Subscribe("a", func(m bus.Message) { got <- string(m.Data) })
	require.NoError(t, err)

	proxy.Cut()
	var spent time.Duration
	calls := 0
	publish := func() {
		before := time.Now()
		_ = b.Publish(t.Context(), "a", []byte("lost")) // whether it fails depends on what NATS has been found to be
		_ = b.Connected()
		spent += time.Since(before)
		calls++
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(patience)
	for b.Connected() {
		require.True(t, time.Now().Before(deadline), "it never finds out")
		publish()
		<-ticker.C
	}
	for calls < 1000 { // it is trying to connect, again and again
		publish()
		<-ticker.C
	}
	require.Less(t, spent, time.Second, "%d calls", calls)

	before := time.Now()
	late := make(chan string, 10000)
	for range 10 {
		sub, err := b.Subscribe("b", func(bus.Message) {})
		require.NoError(t, err)
		sub.Unsubscribe()
	}
	_, err = b.Subscribe("a", func(m bus.Message) { late <- string(m.Data) })
	require.NoError(t, err)
	require.Less(t, time.Since(before), time.Second, "it is made good later")

	proxy.Mend()
	require.Eventually(t, func() bool { return b.Publish(t.Context(), "a", []byte("new")) == nil }, patience, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, ch := range []chan string{got, late} {
		for word := ""; word != "new"; {
			select {
			case word = <-ch:
			case <-ctx.Done():
				require.FailNow(t, "no message came after it")
			}
		}
	}
}

// A first connection that does not come about is told of, without the token.
func TestNotReached(t *testing.T) {
	const token = "let-me-in"
	server, err := nats.StartServer(nats.ServerConfig{Host: "127.0.0.1", Port: -1, Token: "right"})
	require.NoError(t, err)
	defer server.Close()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	for name, c := range map[string]struct{ address, said, want string }{
		"the token is wrong": {strings.TrimPrefix(server.URL(), "nats://"), "does not let this process in", "is not the token that it wants"},
		"it is silent":       {silent.Addr().String(), "is not reached", "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			logs := &lines{}
			logx.SetWriter(logx.NewWriter(logs))
			defer logx.Reset()
			b, err := nats.Open(nats.Config{URLs: []string{"nats://" + c.address}, Token: token})
			require.NoError(t, err)
			require.Eventually(t, func() bool { return strings.Contains(logs.String(), c.said) }, 20*time.Second, time.Millisecond)
			require.False(t, b.Connected())
			require.NoError(t, b.Close())
			text := logs.String()
			require.Regexp(t, `"level":"error"|\t\s*error\s`, text)
			require.Contains(t, text, c.address)
			require.Contains(t, text, c.want)
			require.NotContains(t, text, token)
			require.Equal(t, 1, strings.Count(text, c.said))
		})
	}
}

// lines are what was logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
