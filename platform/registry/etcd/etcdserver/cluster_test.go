package etcdserver_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"hongyan/platform/cluster"
	"hongyan/platform/registry/etcd/etcdserver"
	"hongyan/test/freeport"
)

// credentials returns what members have who know a secret, as they hold it and as files.
func credentials(t *testing.T, secret string) (*cluster.TLS, *etcdserver.TLS) {
	t.Helper()
	member, err := cluster.FromSecret(secret)
	require.NoError(t, err)
	ca, cert, key, err := member.PEM()
	require.NoError(t, err)
	dir := t.TempDir()
	files := &etcdserver.TLS{
		CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ServerName: cluster.ServerName,
	}
	for name, content := range map[string][]byte{files.CA: ca, files.Cert: cert, files.Key: key} {
		require.NoError(t, os.WriteFile(name, content, 0o600))
	}
	return member, files
}

// Three members, each with a certificate of its own, go on without any one of them.
func TestThreeMembers(t *testing.T) {
	const secret = "what all members of this cluster know"
	members := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		address, err := freeport.On(t.Context(), "127.0.0.1")
		require.NoError(t, err)
		members[name] = address
	}
	var (
		mu      sync.Mutex
		group   sync.WaitGroup
		servers = map[string]*etcdserver.Server{}
		configs = map[string]etcdserver.Config{}
	)
	ctx := within(t)
	for name, address := range members {
		_, files := credentials(t, secret)
		config := etcdserver.Config{
			DataDir: t.TempDir(), Listen: "127.0.0.1:0", Name: name, PeerListen: address, Cluster: members, TLS: files,
		}
		group.Go(func() {
			server, err := etcdserver.Start(ctx, config)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				config.Listen = server.Endpoint()
				servers[name], configs[name] = server, config
			}
		})
	}
	group.Wait()
	t.Cleanup(func() {
		for _, server := range servers {
			server.Close()
		}
	})
	require.Len(t, servers, 3)
	member, _ := credentials(t, secret)
	client := dial(t, clientv3.Config{
		Endpoints: []string{servers["a"].Endpoint(), servers["b"].Endpoint(), servers["c"].Endpoint()}, TLS: member.Client(),
	})
	_, err := client.Put(within(t), "key", "0")
	require.NoError(t, err)
	for name, config := range configs {
		servers[name].Close()
		_, err := client.Put(within(t), "key", name)
		require.NoError(t, err)
		servers[name] = start(t, config)
		require.Equal(t, name, get(t, client, "key"))
	}
}

// A member that waits for others can be told not to.
func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	peer, err := freeport.On(ctx, "127.0.0.1")
	require.NoError(t, err)
	config := etcdserver.Config{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", Name: "a", PeerListen: peer,
		Cluster: map[string]string{"a": peer, "b": "127.0.0.1:1", "c": "127.0.0.1:2"},
	}
	go func() {
		_, err := etcdserver.Start(ctx, config)
		done <- err
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(config.DataDir, "member", "wal"))
		return err == nil
	}, patience, patience/10000)
	cancel()
	select {
	case err := <-done:
		require.ErrorIs(t, err, context.Canceled)
	case <-within(t).Done():
		require.Fail(t, "it waits")
	}
}

// Without a certificate of the authority nobody is let in.
func TestStrangers(t *testing.T) {
	_, files := credentials(t, "what all members of this cluster know")
	server := start(t, etcdserver.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", TLS: files})
	stranger, _ := credentials(t, "what others know, of another cluster")
	trusting := stranger.Client()
	trusting.VerifyConnection = nil
	client := dial(t, clientv3.Config{Endpoints: []string{server.Endpoint()}, TLS: trusting})
	ctx, cancel := context.WithTimeout(t.Context(), patience/10)
	defer cancel()
	_, err := client.Get(ctx, "key")
	require.Error(t, err)
}

func TestConfig(t *testing.T) {
	good := etcdserver.Config{
		DataDir: "x", Listen: ":2379", Name: "a", PeerListen: "localhost:2380", Cluster: map[string]string{"a": "host:2380"},
	}
	require.NoError(t, good.Validate())
	require.NoError(t, etcdserver.Config{DataDir: "x", Listen: "[::1]:0"}.Validate())
	for want, spoil := range map[string]func(c *etcdserver.Config){
		"no data directory":         func(c *etcdserver.Config) { c.DataDir = "" },
		"listen: missing port":      func(c *etcdserver.Config) { c.Listen = "" },
		`listen: "host:1"`:          func(c *etcdserver.Config) { c.Listen = "host:1" },
		`peers: "host:1"`:           func(c *etcdserver.Config) { c.PeerListen = "host:1" },
		`no member named "b"`:       func(c *etcdserver.Config) { c.Name = "b" },
		`no member named "hongyan"`: func(c *etcdserver.Config) { c.Name = "" },
		`member "a": "host" is no`:  func(c *etcdserver.Config) { c.Cluster = map[string]string{"a": "host"} },
	} {
		c := good
		spoil(&c)
		require.ErrorContains(t, c.Validate(), want)
		_, err := etcdserver.Start(t.Context(), c)
		require.ErrorContains(t, err, want)
	}
}
