package cluster_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus/nats"
	"hongyan/platform/cluster"
	"hongyan/platform/obs"
	"hongyan/platform/registry/etcd/etcdserver"
)

// said is what was logged.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(line)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// listenToLogs returns what is logged until the test ends.
func listenToLogs(t *testing.T) *said {
	t.Helper()
	s := &said{}
	require.NoError(t, obs.Setup(obs.LogConfig{Level: "info", Format: "plain"}, s))
	t.Cleanup(func() { require.NoError(t, obs.Setup(obs.DefaultLogConfig(), io.Discard)) })
	return s
}

// Whose secret is not that of the others hears which setting is wrong, once for each kind of connection, and never the secret.
func TestAWrongSecretIsSaid(t *testing.T) {
	logs := listenToLogs(t)
	right, wrong := member(t, secret), member(t, "another secret, which is as long as it")
	config := wrong.ClientOf("a process to call")
	for range 3 {
		_, _ = shake(t, config, right.Server())
	}
	require.Equal(t, 1, strings.Count(logs.String(), "a process to call at the other end"), logs)
	_, _ = shake(t, wrong.Client(), right.Server())
	require.Contains(t, logs.String(), "a server at the other end")
	require.Contains(t, logs.String(), "cluster.secret")
	require.NotContains(t, logs.String(), "another secret")
	require.NotContains(t, logs.String(), secret)
}

// The same towards a registry and a bus, whose clients themselves say that time was over.
func TestAWrongSecretTowardsTheRegistry(t *testing.T) {
	endpoint, url := startServers(t, member(t, secret))
	logs := listenToLogs(t)
	cfg := cluster.Default()
	cfg.Registry, cfg.Endpoints, cfg.Bus = cluster.Etcd, []string{"https://" + endpoint}, []cluster.BusURL{cluster.BusURL(url)}
	cfg.Secret = "another secret, which is as long as it"
	require.NoError(t, cfg.Validate())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := cluster.Open(ctx, cfg, cluster.Deps{
		BootID: "me", Shards: 1, ShardOf: func(string, int) int { return 0 }, Clock: time.Now,
	})
	if err == nil {
		defer func() { require.NoError(t, c.Close()) }()
	}
	for _, what := range []string{"the registry", "the bus"} {
		require.Eventually(t, func() bool {
			return strings.Contains(logs.String(), what+" at the other end shows no certificate of this cluster: cluster.secret")
		}, 20*time.Second, time.Millisecond, "%s: %s (%v)", what, logs, err)
	}
	require.NotContains(t, logs.String(), "another secret")
}

// startServers starts a registry and a bus for members.
func startServers(t *testing.T, m *cluster.TLS) (endpoint, url string) {
	t.Helper()
	ca, cert, key, err := m.PEM()
	require.NoError(t, err)
	dir := t.TempDir()
	files := &etcdserver.TLS{
		CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ServerName: cluster.ServerName,
	}
	for name, content := range map[string][]byte{files.CA: ca, files.Cert: cert, files.Key: key} {
		require.NoError(t, os.WriteFile(name, content, 0o600))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	registry, err := etcdserver.Start(ctx, etcdserver.Config{DataDir: filepath.Join(dir, "etcd"), Listen: "127.0.0.1:0", TLS: files})
	require.NoError(t, err)
	t.Cleanup(registry.Close)
	bus, err := nats.StartServer(nats.ServerConfig{Host: "127.0.0.1", Port: -1, TLS: m.Server()})
	require.NoError(t, err)
	t.Cleanup(bus.Close)
	return registry.Endpoint(), bus.URL()
}
