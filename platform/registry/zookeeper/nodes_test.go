package zookeeper_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/stretchr/testify/require"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/obs"
	"hongyan/platform/registry"
	"hongyan/platform/registry/zookeeper"
	"hongyan/test/zktest"
)

const patience = 20 * time.Second

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// client is somebody else's client of ZooKeeper.
func client(t *testing.T, server *zktest.Server) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect([]string{server.Addr()}, zktest.MinSession, zk.WithLogger(quiet{}))
	require.NoError(t, err)
	t.Cleanup(func() {
		conn.Close()
		for range events { // closed when its goroutines have ended
		}
	})
	return conn
}

func process(t *testing.T, config zookeeper.Config) *zookeeper.Registry {
	t.Helper()
	r := open(t, config)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func ready(service, id string) registry.Instance {
	return registry.Instance{Service: service, BootID: id, State: registry.Ready}
}

func put(t *testing.T, r registry.Registry, instances ...registry.Instance) {
	t.Helper()
	for _, i := range instances {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		require.NoError(t, r.Put(ctx, i))
		cancel()
	}
}

func watch(t *testing.T, r registry.Registry) <-chan []registry.Instance {
	t.Helper()
	lists, err := r.Watch(t.Context())
	require.NoError(t, err)
	return lists
}

// see reads lists until one is as wanted.
func see(t *testing.T, lists <-chan []registry.Instance, wanted func([]registry.Instance) bool) []registry.Instance {
	t.Helper()
	var last []registry.Instance
	end := time.After(patience)
	for {
		select {
		case list, ok := <-lists:
			require.True(t, ok, "the watch ended")
			if last = list; wanted(list) {
				return list
			}
		case <-end:
			require.FailNow(t, "never saw it", "last %v", last)
		}
	}
}

func keys(want ...string) func([]registry.Instance) bool {
	return func(list []registry.Instance) bool {
		if len(list) != len(want) {
			return false
		}
		for n, i := range list {
			if i.Key() != want[n] {
				return false
			}
		}
		return true
	}
}

// Programs in other languages make nodes and change them in place; what is no record is left out.
func TestNodesOfOthers(t *testing.T) {
	server, prefix := zktest.Shared(t), folder()
	log := &lines{}
	logx.SetWriter(logx.NewWriter(log))
	defer logx.Reset()
	r := process(t, zookeeper.Config{Endpoints: []string{server.Addr()}, Prefix: prefix})
	lists := watch(t, r)
	put(t, r, ready("room", "a"))
	see(t, lists, keys("room/a"))
	other := client(t, server)
	create := func(name, data string) string {
		path, err := other.Create(prefix+"/instances/"+name, []byte(data), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		require.NoError(t, err)
		return path
	}
	create("echo:1", `no JSON`)
	create("echo:2", `{"service":"echo","boot_id":"two","state":"ready"}`) // another name than its node's
	create("echo:3", `{"service":"echo","boot_id":"3","state":"sleeping"}`)
	create("strange", ``)
	good := create("echo:5", `{"service":"echo","boot_id":"5","http":"127.0.0.1:80","state":"ready","new_field":1}`)
	list := see(t, lists, keys("echo/5", "room/a"))
	require.Equal(t, "127.0.0.1:80", list[0].HTTP)
	_, err := other.Set(good, []byte(`{"service":"echo","boot_id":"5","state":"draining"}`), -1)
	require.NoError(t, err)
	see(t, lists, func(list []registry.Instance) bool { return list[0].State == registry.Draining })
	_, err = other.Set(good, []byte(`{`), -1)
	require.NoError(t, err)
	see(t, lists, keys("room/a"))
	_, err = other.Set(good, []byte(`{"service":"echo","boot_id":"5","state":"ready"}`), -1)
	require.NoError(t, err)
	see(t, lists, keys("echo/5", "room/a"))
	require.NoError(t, other.Delete(good, -1))
	see(t, lists, keys("room/a"))
	bad, err := other.Set(prefix+"/instances/echo:1", []byte("no JSON either"), -1)
	require.NoError(t, err)
	require.EqualValues(t, 1, bad.Version)
	put(t, r, ready("room", "b"))
	see(t, lists, keys("room/a", "room/b"))
	for _, name := range []string{"echo:1", "echo:2", "echo:3", "echo:5", "strange"} {
		require.Equal(t, 1, log.count(`node \"`+name+`\"`), name)
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// Nodes that somebody deletes or overwrites are made good, and the folders above them too.
func TestOwnNodesReturn(t *testing.T) {
	server, prefix := zktest.Shared(t), folder()
	r := process(t, zookeeper.Config{Endpoints: []string{server.Addr()}, Prefix: prefix})
	put(t, r, ready("room", "a"), ready("sync", "a"))
	other := client(t, server)
	path := prefix + "/instances/room:a"
	good, first, err := other.Get(path)
	require.NoError(t, err)
	isBack := func() bool {
		data, stat, err := other.Get(path)
		return err == nil && string(data) == string(good) && stat.EphemeralOwner == first.EphemeralOwner
	}
	require.NoError(t, other.Delete(path, -1))
	require.Eventually(t, isBack, patience, time.Millisecond)
	_, err = other.Set(path, []byte("{}"), -1)
	require.NoError(t, err)
	require.Eventually(t, isBack, patience, time.Millisecond)
	for _, path := range []string{path, prefix + "/instances/sync:a", prefix + "/instances", prefix} {
		require.Eventually(t, func() bool { // it may come back before the folder has gone
			err := other.Delete(path, -1)
			return err == nil || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNotEmpty)
		}, patience, time.Millisecond)
	}
	require.Eventually(t, isBack, patience, time.Millisecond)
	see(t, watch(t, r), keys("room/a", "sync/a"))
}

// A node that a session of before left behind would go with it. It is replaced at once, and nobody sees it go.
func TestLeftOverNodeIsReplaced(t *testing.T) {
	server, prefix := zktest.Shared(t), folder()
	watcher := process(t, zookeeper.Config{Endpoints: []string{server.Addr()}, Prefix: prefix})
	put(t, watcher, ready("room", "b")) // makes the folders
	data, err := json.Marshal(ready("room", "a"))
	require.NoError(t, err)
	before := client(t, server)
	path := prefix + "/instances/room:a"
	_, err = before.Create(path, data, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	lists := watch(t, watcher)
	see(t, lists, keys("room/a", "room/b"))
	r := process(t, zookeeper.Config{Endpoints: []string{server.Addr()}, Prefix: prefix})
	changed := ready("room", "a")
	changed.Weight = 7
	put(t, r, changed)
	see(t, lists, func(list []registry.Instance) bool {
		require.Len(t, list, 2)
		return list[0].Weight == 7
	})
	_, stat, err := before.Get(path)
	require.NoError(t, err)
	require.NotEqual(t, before.SessionID(), stat.EphemeralOwner)
	require.NotZero(t, stat.EphemeralOwner)
}

// With a user, nobody else reads or changes the nodes.
func TestDigest(t *testing.T) {
	server, prefix := zktest.New(t), folder()
	config := zookeeper.Config{Endpoints: []string{server.Addr()}, Prefix: prefix, Username: "team", Password: "right"}
	r, second := process(t, config), process(t, config)
	put(t, r, ready("room", "a"))
	see(t, watch(t, second), keys("room/a"))
	_, _, err := client(t, server).Get(prefix + "/instances/room:a")
	require.ErrorIs(t, err, zk.ErrNoAuth)
	config.Password = "wrong"
	stranger := process(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = stranger.Put(ctx, ready("room", "b"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "not authenticated")
	server.Stop(t)
	server.Start(t)
	put(t, r, ready("sync", "a")) // the user is known again
	see(t, watch(t, second), keys("room/a", "sync/a"))
}

// A server that hangs is left behind; closing does not wait for it.
func TestServerHangs(t *testing.T) {
	server, prefix := zktest.New(t), folder()
	config := zookeeper.Config{Endpoints: []string{server.Addr()}, Prefix: prefix}
	r, goes := process(t, config), open(t, config)
	put(t, r, ready("room", "a"))
	put(t, goes, ready("room", "b"))
	lists := watch(t, r)
	see(t, lists, keys("room/a", "room/b"))
	server.Freeze(t)
	closed := make(chan error, 1)
	go func() { closed <- goes.Close() }()
	select {
	case err := <-closed:
		require.ErrorContains(t, err, "end the session", "its records stay for a while")
	case <-time.After(patience):
		require.FailNow(t, "it waits for the server")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*zktest.MinSession) // the client is replaced meanwhile
	defer cancel()
	require.ErrorIs(t, r.Put(ctx, ready("room", "c")), context.DeadlineExceeded)
	select {
	case list := <-lists:
		require.FailNow(t, "nothing can be known", "%v", list)
	default:
	}
	server.Thaw(t)
	see(t, lists, keys("room/a", "room/c"))
}

func TestConfig(t *testing.T) {
	good := zookeeper.Config{Endpoints: []string{"zk-1:2181", "[::1]:2181"}}
	require.NoError(t, good.Validate())
	for name, change := range map[string]func(*zookeeper.Config){
		"no endpoints":        func(c *zookeeper.Config) { c.Endpoints = nil },
		"no port":             func(c *zookeeper.Config) { c.Endpoints = []string{"zk-1"} },
		"no host":             func(c *zookeeper.Config) { c.Endpoints = []string{":2181"} },
		"relative prefix":     func(c *zookeeper.Config) { c.Prefix = "team" },
		"the root":            func(c *zookeeper.Config) { c.Prefix = "/" },
		"an empty part":       func(c *zookeeper.Config) { c.Prefix = "/a//b" },
		"a slash at the end":  func(c *zookeeper.Config) { c.Prefix = "/a/" },
		"dots":                func(c *zookeeper.Config) { c.Prefix = "/a/.." },
		"ZooKeeper's own":     func(c *zookeeper.Config) { c.Prefix = "/zookeeper" },
		"a short session":     func(c *zookeeper.Config) { c.SessionTimeout = time.Millisecond },
		"a long session":      func(c *zookeeper.Config) { c.SessionTimeout = time.Hour },
		"a negative session":  func(c *zookeeper.Config) { c.SessionTimeout = -time.Second },
		"no password":         func(c *zookeeper.Config) { c.Username = "u" },
		"no username":         func(c *zookeeper.Config) { c.Password = "p" },
		"a colon in the name": func(c *zookeeper.Config) { c.Username, c.Password = "u:v", "p" },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			require.Error(t, c.Validate())
			_, err := zookeeper.Open(c)
			require.Error(t, err)
		})
	}
	c := good
	c.Prefix, c.SessionTimeout, c.Username, c.Password = "/team/chat-1_b.c", 10*time.Second, "u", obs.Secret("p:q")
	require.NoError(t, c.Validate())
}
