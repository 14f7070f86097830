package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	nodepb "hongyan/api/node"
	"hongyan/app"
	"hongyan/platform/bus/nats"
	"hongyan/platform/cluster"
	"hongyan/platform/registry/etcd/etcdserver"
	"hongyan/test/pgtest"
)

const clusterSecret = "the secret of the processes of a test"

// deployment is a registry, a bus and a database, for servers of one or more services each.
type deployment struct {
	t     *testing.T
	flags map[string]string
}

// newDeployment starts what servers share; all of it wants certificates made of the secret, where that is not empty.
func newDeployment(t *testing.T, secret string) *deployment {
	t.Helper()
	etcdConfig := etcdserver.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"}
	natsConfig := nats.ServerConfig{Host: "127.0.0.1", Port: -1}
	scheme, busScheme := "", "nats://"
	if secret != "" {
		member, err := cluster.FromSecret(secret)
		require.NoError(t, err)
		ca, cert, key, err := member.PEM()
		require.NoError(t, err)
		dir := t.TempDir()
		for name, content := range map[string][]byte{"ca": ca, "cert": cert, "key": key} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
		etcdConfig.TLS = &etcdserver.TLS{
			CA: filepath.Join(dir, "ca"), Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"),
			ServerName: cluster.ServerName,
		}
		natsConfig.TLS = member.Server()
		scheme, busScheme = "https://", "tls://"
	}
	registry, err := etcdserver.Start(t.Context(), etcdConfig)
	require.NoError(t, err)
	t.Cleanup(registry.Close)
	bus, err := nats.StartServer(natsConfig)
	require.NoError(t, err)
	t.Cleanup(bus.Close)
	return &deployment{t: t, flags: map[string]string{
		"cluster-registry": "etcd", "cluster-endpoints": scheme + bare(registry.Endpoint()), "cluster-bus": busScheme + bare(bus.URL()),
		"cluster-secret": secret, "media-path": t.TempDir(), "database": pgtest.Start(t), "registration": "open",
	}}
}

func bare(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		return rest
	}
	return address
}

// start starts a server of some services.
func (d *deployment) start(target string) *server {
	flags := map[string]string{"target": target}
	for k, v := range d.flags {
		flags[k] = v
	}
	return start(d.t, d.t.TempDir(), flags)
}

// Services in processes of their own find each other, share the work, and go on when one of them leaves.
func TestServicesInProcessesOfTheirOwn(t *testing.T) {
	for name, secret := range map[string]string{"in the clear": "", "with a secret": clusterSecret} {
		t.Run(name, func(t *testing.T) { inProcessesOfTheirOwn(t, newDeployment(t, secret)) })
	}
}

func inProcessesOfTheirOwn(t *testing.T, d *deployment) {
	gateway := d.start("gateway") // before anybody whom it needs
	status, answer := gateway.call("GET", "/_matrix/client/v3/account/whoami", "nobody", "")
	require.Equal(t, 503, status)
	require.Contains(t, answer, "retry_after_ms")
	healthy := func() bool {
		status, answer := gateway.call("GET", "/_hongyan/health", "", "")
		versions, _ := gateway.call("GET", "/_matrix/client/versions", "", "")
		return status == 200 && answer["status"] == "ready" && versions == 200
	}
	require.False(t, healthy(), "load balancers send it nothing before it knows anybody")
	identity := d.start("identity")
	d.start("room,keys,sync,media,social")
	leaving := d.start("room")
	require.Eventually(t, healthy, time.Minute, 20*time.Millisecond)
	alice, bob := gateway.register("alice"), gateway.register("bob")
	status, answer = gateway.call("POST", "/_matrix/client/v3/createRoom", alice, `{"preset":"public_chat"}`)
	require.Equal(t, 200, status, answer)
	room := answer["room_id"].(string)
	status, answer = gateway.call("POST", "/_matrix/client/v3/join/"+room, bob, "")
	require.Equal(t, 200, status, answer)
	_, answer = gateway.call("GET", "/_matrix/client/v3/sync", bob, "")
	since := answer["next_batch"].(string)
	say := func(txn string) {
		status, answer := gateway.call("PUT", "/_matrix/client/v3/rooms/"+room+"/send/m.room.message/"+txn, alice,
			`{"msgtype":"m.text","body":"`+txn+`"}`)
		require.Equal(t, 200, status, answer)
		_, answer = gateway.call("GET", "/_matrix/client/v3/sync?timeout=30000&since="+since, bob, "")
		require.Contains(t, text(t, answer), txn)
		since = answer["next_batch"].(string)
	}
	say("first")
	leaving.stop()
	say("second")
	second := d.start("gateway")
	status, _ = second.call("GET", "/_matrix/client/v3/account/whoami", bob, "")
	require.Equal(t, 200, status, "nothing is kept in one gateway")
	status, _ = second.call("POST", "/_matrix/client/v3/logout", bob, "")
	require.Equal(t, 200, status)
	status, _ = gateway.call("GET", "/_matrix/client/v3/account/whoami", bob, "")
	require.Equal(t, 401, status, "a token that ended through one gateway is forgotten by the others")

	told := topology(t, identity)
	var services []string
	for _, i := range told.GetInstances() {
		services = append(services, i.GetService())
		require.Equal(t, "ready", i.GetState())
	}
	require.Equal(t, []string{"gateway", "gateway", "identity", "keys", "media", "room", "social", "sync"}, services)
	require.Len(t, told.GetProcesses(), 4)
	for _, p := range told.GetProcesses() {
		require.Empty(t, p.GetError())
	}
}

func topology(t *testing.T, s *server) *nodepb.TopologyResponse {
	t.Helper()
	socket, err := app.DialAdmin(s.dir)
	require.NoError(t, err)
	defer func() { _ = socket.Close() }()
	var told *nodepb.TopologyResponse
	require.Eventually(t, func() bool { // a watch may be a moment behind
		told, err = socket.Topology(t.Context(), &nodepb.TopologyRequest{})
		return err == nil && len(told.GetInstances()) == 8
	}, time.Minute, 20*time.Millisecond)
	return told
}

// A process that does not know the secret gets nowhere.
func TestStrangersAreKeptOut(t *testing.T) {
	d := newDeployment(t, clusterSecret)
	d.start("identity,room,keys,sync,media,social")
	gateway := d.start("gateway")
	gateway.register("alice")
	d.flags["cluster-secret"] = "another secret of the same length"
	stranger := d.start("gateway") // it starts, and waits for a registry that lets it in
	status, _ := stranger.call("GET", "/_matrix/client/v3/account/whoami", "nobody", "")
	require.Equal(t, 503, status)
}

// Whoever wants services apart without what these share is told what is missing.
func TestApartNeedsWhatIsShared(t *testing.T) {
	for name, tt := range map[string]struct {
		flags map[string]string
		want  string
	}{
		"no registry": {map[string]string{"target": "room"}, "cluster.registry"},
		"no bus":      {map[string]string{"target": "room", "cluster-registry": "etcd", "cluster-endpoints": "a:1", "database": "postgres://h/d"}, "bus"},
		"no database": {map[string]string{"target": "room", "cluster-registry": "etcd", "cluster-endpoints": "a:1", "cluster-bus": "nats://a:1"}, "PostgreSQL"},
		"no secret": {map[string]string{"target": "gateway", "cluster-registry": "etcd", "cluster-endpoints": "a:1", "cluster-bus": "nats://a:1",
			"cluster-listen": "0.0.0.0:0"}, "cluster.secret"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := app.Load(app.Source{Flags: tt.flags})
			require.ErrorContains(t, err, tt.want)
		})
	}
	_, err := app.Load(app.Source{Flags: map[string]string{
		"target": "gateway", "cluster-registry": "etcd", "cluster-endpoints": "a:1", "cluster-bus": "nats://a:1",
	}})
	require.NoError(t, err, "a gateway has no database")
}
