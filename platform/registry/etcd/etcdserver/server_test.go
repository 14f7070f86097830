package etcdserver_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry/etcd/etcdserver"
)

const patience = 30 * time.Second

// etcd leaves kept-alive connections between members to time out, with both of their ends.
func TestMain(m *testing.M) {
	options := obstest.LeakOptions()
	for _, f := range []string{"(*persistConn).readLoop", "(*persistConn).writeLoop", "(*conn).serve", "(*connReader).backgroundRead"} {
		options = append(options, goleak.IgnoreAnyFunction("net/http."+f))
	}
	goleak.VerifyTestMain(m, options...)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, config etcdserver.Config) *etcdserver.Server {
	t.Helper()
	server, err := etcdserver.Start(within(t), config)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	return server
}

func dial(t *testing.T, config clientv3.Config) *clientv3.Client {
	t.Helper()
	config.Logger = clientv3.NewCtxClient(t.Context()).GetLogger()
	client, err := clientv3.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func get(t *testing.T, client *clientv3.Client, key string) string {
	t.Helper()
	got, err := client.Get(within(t), key)
	require.NoError(t, err)
	require.Len(t, got.Kvs, 1)
	return string(got.Kvs[0].Value)
}

// What was written is there after a restart, and clients come back.
func TestRestart(t *testing.T) {
	config := etcdserver.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}
	server := start(t, config)
	config.Listen = server.Endpoint()
	client := dial(t, clientv3.Config{Endpoints: []string{server.Endpoint()}})
	_, err := client.Put(within(t), "a", "1")
	require.NoError(t, err)
	watch := client.Watch(within(t), "b")
	server.Close()
	server.Close()
	start(t, config)
	require.Equal(t, "1", get(t, client, "a"))
	_, err = client.Put(within(t), "b", "2")
	require.NoError(t, err)
	seen := <-watch
	require.NoError(t, seen.Err())
	require.Equal(t, "2", string(seen.Events[0].Kv.Value))
}

// Closing ends calls that wait instead of waiting for them.
func TestCloseEndsWatches(t *testing.T) {
	server := start(t, etcdserver.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	client := dial(t, clientv3.Config{Endpoints: []string{server.Endpoint()}})
	created := client.Watch(within(t), "a", clientv3.WithCreatedNotify())
	require.True(t, (<-created).Created)
	began := time.Now()
	server.Close()
	require.Less(t, time.Since(began), 5*time.Second, "etcd gives watches seven seconds")
}

func TestAddressInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	_, err = etcdserver.Start(within(t), etcdserver.Config{DataDir: t.TempDir(), Listen: listener.Addr().String()})
	require.ErrorContains(t, err, "address already in use")
}
