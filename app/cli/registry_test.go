//go:build linux

package cli_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/bus"
	"hongyan/platform/bus/nats"
	"hongyan/platform/cluster"
	"hongyan/platform/obs"
	"hongyan/platform/registry"
	"hongyan/platform/registry/etcd"
	"hongyan/test/freeport"
)

const (
	registryPatience = time.Minute
	clusterSecret    = "a secret that the whole cluster knows"
)

// registryNode is a running "hongyan registry".
type registryNode struct {
	cmd *exec.Cmd
	out *output
}

func startRegistry(t *testing.T, env []string, args ...string) *registryNode {
	t.Helper()
	n := &registryNode{cmd: program(t, append([]string{"registry", "--data-dir", t.TempDir(), "--admin-listen", "127.0.0.1:0"}, args...)...), out: &output{}}
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	n.cmd.Env = append(n.cmd.Env, env...)
	require.NoError(t, n.cmd.Start())
	t.Cleanup(func() {
		if n.cmd.ProcessState == nil {
			_ = n.cmd.Wait() // it ended with the test's context
		}
	})
	return n
}

// terminate ends it as a supervisor does.
func (n *registryNode) terminate(t *testing.T) {
	t.Helper()
	require.NoError(t, n.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, n.cmd.Wait(), n.out.String())
}

var listening = regexp.MustCompile(`(?m)^registry (\S+), bus (\S+)$`)

// addresses waits until it says where it listens.
func (n *registryNode) addresses(t *testing.T) (endpoint, url string) {
	t.Helper()
	var found []string
	require.Eventually(t, func() bool {
		found = listening.FindStringSubmatch(n.out.String())
		return found != nil
	}, registryPatience, time.Millisecond, "%s", n.out)
	return found[1], found[2]
}

// deployment is what processes are told of registry and bus.
type deployment struct {
	endpoints, urls []string
	token           obs.Secret
	credentials     *cluster.TLS
}

// use proves that they work.
func (d deployment) use(t *testing.T, bootID string) {
	t.Helper()
	registryConfig := etcd.Config{Endpoints: d.endpoints}
	busConfig := nats.Config{URLs: d.urls, Token: d.token}
	if d.credentials != nil {
		registryConfig.TLS, busConfig.TLS = d.credentials.Client(), d.credentials.Client()
	}
	ctx, cancel := context.WithTimeout(context.Background(), registryPatience)
	defer cancel()
	r, err := etcd.Open(ctx, registryConfig)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	want := registry.Instance{Service: "room", BootID: bootID, State: registry.Ready}
	require.NoError(t, r.Put(ctx, want))
	lists, err := r.Watch(ctx)
	require.NoError(t, err)
	for list := range lists {
		if len(list) > 0 {
			require.Equal(t, want.Key(), list[0].Key())
			break
		}
	}
	require.NoError(t, ctx.Err())
	b, err := nats.Open(busConfig)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	require.Eventually(t, b.Connected, registryPatience, time.Millisecond)
	got := make(chan bus.Message, 1)
	_, err = b.Subscribe("a", func(m bus.Message) { got <- m })
	require.NoError(t, err)
	require.NoError(t, b.Publish(ctx, "a", []byte("hello")))
	select {
	case m := <-got:
		require.Equal(t, "hello", string(m.Data))
	case <-ctx.Done():
		require.Fail(t, "the message did not come")
	}
}

func TestRegistry(t *testing.T) {
	n := startRegistry(t, []string{"HONGYAN_CLUSTER_BUS_TOKEN=let me in"}, "--listen", "127.0.0.1:0", "--bus-listen", "127.0.0.1:0")
	endpoint, url := n.addresses(t)
	deployment{endpoints: []string{endpoint}, urls: []string{url}, token: "let me in"}.use(t, "a")
	b, err := nats.Open(nats.Config{URLs: []string{url}, Token: "open up"})
	require.NoError(t, err)
	require.False(t, b.Connected(), "the token is wrong")
	require.NoError(t, b.Close())
	n.terminate(t)
	require.NotContains(t, n.out.String(), "let me in")
	require.True(t, strings.HasPrefix(n.out.String(), "registry "), "etcd keeps quiet: %s", n.out)
	require.NotContains(t, n.out.String(), "error")
}

// With the secret it speaks to members of the cluster only.
func TestRegistryWithASecret(t *testing.T) {
	n := startRegistry(t, []string{"HONGYAN_CLUSTER_SECRET=" + clusterSecret}, "--listen", "127.0.0.1:0", "--bus-listen", "127.0.0.1:0")
	endpoint, url := n.addresses(t)
	member, err := cluster.FromSecret(clusterSecret)
	require.NoError(t, err)
	deployment{endpoints: []string{endpoint}, urls: []string{url}, credentials: member}.use(t, "a")

	stranger, err := cluster.FromSecret("a secret that another cluster knows")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	r, err := etcd.Open(ctx, etcd.Config{Endpoints: []string{endpoint}, TLS: stranger.Client()})
	require.NoError(t, err)
	require.ErrorIs(t, r.Put(ctx, registry.Instance{Service: "room", BootID: "b", State: registry.Ready}), context.DeadlineExceeded)
	require.NoError(t, r.Close())
	b, err := nats.Open(nats.Config{URLs: []string{url}, TLS: stranger.Client()})
	if err == nil {
		require.False(t, b.Connected())
		require.NoError(t, b.Close())
	}
}

// The key that it makes of the secret is in a temporary directory for as long as it runs, and never with its data.
func TestRegistryKeepsNoKey(t *testing.T) {
	data, temporary := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(data, "tls"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "tls", "key.pem"), []byte("an earlier version's"), 0o600))
	n := startRegistry(t, []string{"HONGYAN_CLUSTER_SECRET=" + clusterSecret, "TMPDIR=" + temporary},
		"--data-dir", data, "--listen", "127.0.0.1:0", "--bus-listen", "127.0.0.1:0")
	n.addresses(t)
	found, err := filepath.Glob(filepath.Join(temporary, "*", "key.pem"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	for path, mode := range map[string]os.FileMode{found[0]: 0o600, filepath.Dir(found[0]): 0o700} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), path)
	}
	directory, err := os.Open(filepath.Dir(found[0]))
	require.NoError(t, err)
	require.ErrorIs(t, syscall.Flock(int(directory.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK,
		"nobody takes it for forgotten")
	require.NoError(t, directory.Close())
	require.NoError(t, filepath.WalkDir(data, func(path string, entry os.DirEntry, err error) error {
		require.NotContains(t, entry.Name(), ".pem", path)
		return err
	}))
	n.terminate(t)
	left, err := os.ReadDir(temporary)
	require.NoError(t, err)
	require.Empty(t, left)
}

var telling = regexp.MustCompile(`(?m)^metrics and health at (http://\S+)/$`)

// read asks the admin listener; token may be empty.
func read(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(raw)
}

// A node tells monitoring of itself, of etcd and of NATS.
func TestRegistryTellsOfItself(t *testing.T) {
	n := startRegistry(t, []string{"HONGYAN_ADMIN_TOKEN=who watches"}, "--listen", "127.0.0.1:0", "--bus-listen", "127.0.0.1:0")
	endpoint, url := n.addresses(t)
	deployment{endpoints: []string{endpoint}, urls: []string{url}}.use(t, "a")
	var found []string
	require.Eventually(t, func() bool {
		found = telling.FindStringSubmatch(n.out.String())
		return found != nil
	}, registryPatience, time.Millisecond, "%s", n.out)
	for _, path := range []string{"/healthz", "/readyz"} {
		status, body := read(t, found[1]+path, "")
		require.Equal(t, http.StatusOK, status, "%s: %s", path, body)
	}
	status, _ := read(t, found[1]+"/metrics", "")
	require.Equal(t, http.StatusUnauthorized, status)
	status, _ = read(t, found[1]+"/debug/pprof/goroutine", "who watches")
	require.Equal(t, http.StatusOK, status)
	status, metrics := read(t, found[1]+"/metrics", "who watches")
	require.Equal(t, http.StatusOK, status, metrics)
	for _, want := range []string{
		`(?m)^etcd_server_has_leader 1$`, `(?m)^etcd_mvcc_db_total_size_in_bytes [1-9]`, `(?m)^etcd_disk_wal_fsync_duration_seconds_count [1-9]`,
		`(?m)^hongyan_nats_clients 0$`, `(?m)^hongyan_nats_messages_total\{direction="in"\} 1$`, `(?m)^hongyan_nats_bytes_total\{direction="out"\} 5$`,
		`(?m)^hongyan_build_info\{`, `(?m)^go_goroutines `, `(?m)^process_resident_memory_bytes `,
	} {
		require.Regexp(t, want, metrics)
	}
	n.terminate(t)
	require.NotContains(t, n.out.String(), "who watches")
}

// A node that waits for the others lives, and is not ready.
func TestARegistryThatWaitsSaysSo(t *testing.T) {
	free := func() string {
		address, err := freeport.On(t.Context(), "127.0.0.1")
		require.NoError(t, err)
		return address
	}
	admin := free()
	n := startRegistry(t, nil, "--listen", "127.0.0.1:0", "--bus-listen", "", "--admin-listen", admin,
		"--name", "a", "--cluster", "a="+free()+",b=127.0.0.1:1,c=127.0.0.1:2")
	require.Eventually(t, func() bool {
		status, _ := read(t, "http://"+admin+"/healthz", "")
		return status == http.StatusOK
	}, registryPatience, time.Millisecond, "%s", n.out)
	status, body := read(t, "http://"+admin+"/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "waits for most of the nodes")
	require.NoError(t, n.cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, n.cmd.Wait(), "it did not start")
}

// Three nodes go on without one of them.
func TestThreeRegistries(t *testing.T) {
	member, err := cluster.FromSecret(clusterSecret)
	require.NoError(t, err)
	free := func() string {
		address, err := freeport.On(t.Context(), "127.0.0.1")
		require.NoError(t, err)
		return address
	}
	names := []string{"a", "b", "c"}
	var all, routes []string
	for _, name := range names {
		all, routes = append(all, name+"="+free()), append(routes, free())
	}
	var nodes []*registryNode
	for i, name := range names {
		nodes = append(nodes, startRegistry(t, nil, "--secret", clusterSecret, "--name", name, "--cluster", strings.Join(all, ","),
			"--listen", "127.0.0.1:0", "--bus-listen", "127.0.0.1:0",
			"--bus-route-listen", routes[i], "--bus-routes", strings.Join(routes, ",")))
	}
	d := deployment{credentials: member}
	for _, n := range nodes {
		endpoint, url := n.addresses(t)
		d.endpoints, d.urls = append(d.endpoints, endpoint), append(d.urls, url)
	}
	d.use(t, "a")
	require.NoError(t, nodes[0].cmd.Process.Kill())
	_ = nodes[0].cmd.Wait() // it was killed
	d.use(t, "b")
	for _, n := range nodes[1:] {
		n.terminate(t)
	}
}

func TestRegistryRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"listen 0.0.0.0:2379 is reached from other machines":          {"--listen", "0.0.0.0:2379"},
		"listen :2379 is reached from other machines":                 {"--listen", ":2379"},
		"bus-listen 192.0.2.1:4222 is reached from other machines":    {"--bus-listen", "192.0.2.1:4222"},
		"peer-listen 192.0.2.1:2380 is reached from other machines":   {"--cluster", "hongyan=192.0.2.1:2380", "--bus-listen", ""},
		"bus-route-listen 192.0.2.1:1 is reached from other machines": {"--bus-route-listen", "192.0.2.1:1"},
		`listen "2379": want host:port`:                               {"--listen", "2379"},
		`bus-listen "localhost:nats": want a port from 0 to 65535`:    {"--bus-listen", "localhost:nats"},
		`admin-listen "0.0.0.0:9007": other machines reach it`:        {"--admin-listen", "0.0.0.0:9007"},
		`admin-listen "9007": want host:port`:                         {"--admin-listen", "9007"},
		"want an IP address or localhost":                             {"--listen", "registry.example:2379", "--insecure", "--bus-listen", ""},
		"want at least 32 random characters":                          {"--secret", "short"},
		"tls_ca, tls_cert and tls_key: want all or none":              {"--tls-ca", "ca.pem"},
		`the cluster has no member named "x"`:                         {"--name", "x", "--cluster", "a=127.0.0.1:2380", "--peer-listen", "127.0.0.1:0", "--bus-listen", ""},
		"unknown flag --lsten: did you mean --listen?":                {"--lsten", ":1"},
	} {
		fails(t, want, append([]string{"registry", "--data-dir", t.TempDir(), "--admin-listen", "127.0.0.1:0"}, args...)...)
	}
}

// The data directory has one user.
func TestRegistryLocksItsData(t *testing.T) {
	dir := t.TempDir()
	n := startRegistry(t, nil, "--listen", "127.0.0.1:0", "--bus-listen", "127.0.0.1:0", "--data-dir", dir)
	n.addresses(t)
	fails(t, "in use by another server", "registry", "--listen", "127.0.0.1:0", "--bus-listen", "", "--data-dir", dir)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	fails(t, "address already in use", "registry", "--listen", listener.Addr().String(), "--bus-listen", "", "--data-dir", t.TempDir())
}
