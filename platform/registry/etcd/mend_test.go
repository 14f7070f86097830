package etcd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"hongyan/platform/registry"
	"hongyan/platform/registry/etcd"
	"hongyan/platform/registry/registrytest"
)

// raw is etcd as somebody else sees it.
func raw(t *testing.T, config clientv3.Config) *clientv3.Client {
	t.Helper()
	config.Logger = clientv3.NewCtxClient(t.Context()).GetLogger()
	client, err := clientv3.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func instance(id string) registry.Instance {
	return registry.Instance{Service: "room", BootID: id, State: registry.Ready}
}

// await reads lists until one has just these boot ids; each on the way must have those of always.
func await(t *testing.T, lists <-chan []registry.Instance, always []string, ids ...string) {
	t.Helper()
	end := time.After(patience)
	var last []string
	for {
		select {
		case list, ok := <-lists:
			require.True(t, ok, "the watch ended")
			last = nil
			for _, i := range list {
				last = append(last, i.BootID)
			}
			require.Subset(t, last, always)
			if len(last) == len(ids) {
				require.Equal(t, ids, last)
				return
			}
		case <-end:
			require.FailNow(t, "never saw the instances", "want %v, last %v", ids, last)
		}
	}
}

const key = "/hongyan/instances/room/a"

// Whatever others do to a record, it is put right.
func TestMendsItsRecords(t *testing.T) {
	server := newServer(t)
	config := etcd.Config{Endpoints: []string{server.config.Listen}}
	client := raw(t, clientv3.Config{Endpoints: config.Endpoints})
	r := open(t, config)
	defer func() { require.NoError(t, r.Close()) }()
	require.NoError(t, r.Put(within(t), instance("a")))
	require.NoError(t, r.Put(within(t), instance("b")))
	want, err := json.Marshal(instance("a"))
	require.NoError(t, err)
	get := func() (value string, revision, lease int64) {
		got, err := client.Get(within(t), key)
		require.NoError(t, err)
		if len(got.Kvs) == 0 {
			return "", 0, 0
		}
		return string(got.Kvs[0].Value), got.Kvs[0].ModRevision, got.Kvs[0].Lease
	}
	draining := instance("a")
	draining.State = registry.Draining
	other, err := json.Marshal(draining)
	require.NoError(t, err)
	for name, harm := range map[string]func(lease clientv3.LeaseID) error{
		"deleted": func(clientv3.LeaseID) error {
			_, err := client.Delete(within(t), key)
			return err
		},
		"all deleted": func(clientv3.LeaseID) error {
			_, err := client.Delete(within(t), "", clientv3.WithPrefix())
			return err
		},
		"replaced": func(clientv3.LeaseID) error {
			_, err := client.Put(within(t), key, string(other))
			return err
		},
		"kept without a lease": func(clientv3.LeaseID) error {
			_, err := client.Put(within(t), key, string(want))
			return err
		},
		"lease revoked": func(lease clientv3.LeaseID) error {
			_, err := client.Revoke(within(t), lease)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, before, lease := get()
			require.NotZero(t, lease)
			require.NoError(t, harm(clientv3.LeaseID(lease)))
			require.Eventually(t, func() bool {
				value, revision, lease := get()
				return value == string(want) && lease != 0 && revision > before
			}, patience, time.Millisecond)
		})
	}
}

// A registry without memory does not let those disappear who only have to come back, if they do in time.
func TestWipedUnnoticed(t *testing.T) {
	server := newServer(t)
	proxy := registrytest.NewProxy(t, server.config.Listen)
	patient := open(t, etcd.Config{Endpoints: []string{server.config.Listen}, TTL: 2 * patience})
	hasty := open(t, etcd.Config{Endpoints: []string{server.config.Listen}, TTL: time.Second})
	late := open(t, etcd.Config{Endpoints: []string{proxy.Addr()}})
	for _, r := range []*etcd.Registry{patient, hasty, late} {
		defer func() { require.NoError(t, r.Close()) }()
	}
	require.NoError(t, patient.Put(within(t), instance("a")))
	require.NoError(t, late.Put(within(t), instance("b")))
	unchanged, err := patient.Watch(within(t))
	require.NoError(t, err)
	await(t, unchanged, nil, "a", "b")
	shrinks, err := hasty.Watch(within(t))
	require.NoError(t, err)
	await(t, shrinks, nil, "a", "b")

	proxy.Cut()
	server.wipe(t)
	await(t, shrinks, nil, "a") // everything was read again, and enough time has passed
	require.NoError(t, patient.Put(within(t), instance("c")))
	await(t, unchanged, []string{"a", "b"}, "a", "b", "c")
	proxy.Mend()
	await(t, shrinks, nil, "a", "b", "c")
	require.NoError(t, late.Remove(within(t), instance("b")))
	await(t, unchanged, nil, "a", "c")
}

// Whoever leaves is gone for all who see what comes after, whatever is being checked at that moment.
func TestLeavesAtOnce(t *testing.T) {
	server := newServer(t)
	config := etcd.Config{Endpoints: []string{server.config.Listen}}
	watcher, first, second := open(t, config), open(t, config), open(t, config)
	for _, r := range []*etcd.Registry{watcher, first, second} {
		defer func() { require.NoError(t, r.Close()) }()
	}
	require.NoError(t, watcher.Put(within(t), instance("watcher")))
	lists, err := watcher.Watch(within(t))
	require.NoError(t, err)
	checked := time.Now().Add(5 * time.Second) // four checks and more
	over, stop := context.WithCancel(t.Context())
	var churning sync.WaitGroup
	defer churning.Wait()
	defer stop()
	for n := range 8 { // each removes instance after instance, and marks how many it has
		churning.Go(func() {
			mark := registry.Instance{Service: "mark", BootID: strconv.Itoa(n), State: registry.Ready}
			for over.Err() == nil {
				mark.Weight++
				leaves := instance(fmt.Sprintf("%d-%d", n, mark.Weight))
				assert.NoError(t, first.Put(within(t), leaves))
				assert.NoError(t, first.Remove(within(t), leaves))
				assert.NoError(t, second.Put(within(t), mark))
			}
		})
	}
	for time.Now().Before(checked) {
		removed := map[string]int{}
		list := <-lists
		for _, i := range list {
			if i.Service == "mark" {
				removed[i.BootID] = i.Weight
			}
		}
		for _, i := range list {
			n, number, _ := strings.Cut(i.BootID, "-")
			if at, err := strconv.Atoi(number); err == nil {
				require.Greater(t, at, removed[n], "%s was removed before", i.BootID)
			}
		}
	}
}

// What is no record does not hide those that are.
func TestLeavesOutBadRecords(t *testing.T) {
	server := newServer(t)
	config := etcd.Config{Endpoints: []string{server.config.Listen}}
	client := raw(t, clientv3.Config{Endpoints: config.Endpoints})
	put := func(key, value string) {
		_, err := client.Put(within(t), "/hongyan/instances/"+key, value)
		require.NoError(t, err)
	}
	put("room/json", `{"service": "room"`)
	put("room/empty", "")
	put("room/null", "null")
	put("room/state", `{"service": "room", "boot_id": "state", "state": "sleeping"}`)
	put("room/other", `{"service": "room", "boot_id": "another", "state": "ready"}`)
	put("room", `{"service": "room", "boot_id": "a", "state": "ready"}`)
	put("room/newer", `{"service": "room", "boot_id": "newer", "state": "ready", "mood": {"is": "good"}}`)
	r := open(t, config)
	defer func() { require.NoError(t, r.Close()) }()
	lists, err := r.Watch(within(t))
	require.NoError(t, err)
	await(t, lists, nil, "newer")
	put("room/late", "[]")
	put("room/newest", `{"service": "room", "boot_id": "newest", "state": "ready"}`)
	await(t, lists, []string{"newer"}, "newer", "newest")
	put("room/newest", "{}")
	await(t, lists, nil, "newer")
	put("room/json", `{"service": "room", "boot_id": "json", "state": "ready"}`)
	await(t, lists, nil, "json", "newer")
}

// A watch that was away while etcd forgot old revisions reads everything.
func TestCompacted(t *testing.T) {
	server := newServer(t)
	config := etcd.Config{Endpoints: []string{server.config.Listen}}
	client := raw(t, clientv3.Config{Endpoints: config.Endpoints})
	r := open(t, config)
	defer func() { require.NoError(t, r.Close()) }()
	require.NoError(t, r.Put(within(t), instance("a")))
	lists, err := r.Watch(within(t))
	require.NoError(t, err)
	await(t, lists, nil, "a")
	for range 2 {
		for range 50 {
			_, err = client.Put(within(t), "/elsewhere", "x")
			require.NoError(t, err)
		}
		last, err := client.Put(within(t), "/hongyan/instances/room/b", `{"service": "room", "boot_id": "b", "state": "ready"}`)
		require.NoError(t, err)
		_, err = client.Compact(within(t), last.Header.Revision)
		require.NoError(t, err)
		server.stop(t)
		server.start(t)
		await(t, lists, []string{"a"}, "a", "b")
		_, err = client.Delete(within(t), "/hongyan/instances/room/b")
		require.NoError(t, err)
		await(t, lists, []string{"a"}, "a")
	}
}

func TestPassword(t *testing.T) {
	server := newServer(t)
	client := raw(t, clientv3.Config{Endpoints: []string{server.config.Listen}})
	_, err := client.UserAdd(within(t), "root", "right")
	require.NoError(t, err)
	_, err = client.UserGrantRole(within(t), "root", "root")
	require.NoError(t, err)
	_, err = client.AuthEnable(within(t))
	require.NoError(t, err)
	r := open(t, etcd.Config{Endpoints: []string{server.config.Listen}, Username: "root", Password: "right"})
	require.NoError(t, r.Put(within(t), instance("a")))
	server.stop(t)
	server.start(t)
	require.NoError(t, r.Put(within(t), instance("b")))
	require.NoError(t, r.Close())

	wrong := open(t, etcd.Config{Endpoints: []string{server.config.Listen}, Username: "root", Password: "wrong"})
	require.NoError(t, wrong.Close())
}

func TestConfig(t *testing.T) {
	good := etcd.Config{Endpoints: []string{"etcd.example:2379", "https://[::1]:2379"}, Prefix: "/a/b", TTL: 10 * time.Second}
	require.NoError(t, good.Validate())
	for want, spoil := range map[string]func(c *etcd.Config){
		"no endpoints":               func(c *etcd.Config) { c.Endpoints = nil },
		`endpoint "etcd.example"`:    func(c *etcd.Config) { c.Endpoints = []string{"etcd.example"} },
		`endpoint ":2379"`:           func(c *etcd.Config) { c.Endpoints = []string{":2379"} },
		`endpoint "ftp://a:1"`:       func(c *etcd.Config) { c.Endpoints = []string{"ftp://a:1"} },
		`prefix "//"`:                func(c *etcd.Config) { c.Prefix = "//" },
		"given together":             func(c *etcd.Config) { c.Username = "root" },
		"ttl 1.5s: want whole":       func(c *etcd.Config) { c.TTL = 1500 * time.Millisecond },
		"ttl -1s: want whole":        func(c *etcd.Config) { c.TTL = -time.Second },
		"ttl 1h0m1s: want whole sec": func(c *etcd.Config) { c.TTL = time.Hour + time.Second },
	} {
		c := good
		spoil(&c)
		require.ErrorContains(t, c.Validate(), want)
		_, err := etcd.Open(t.Context(), c)
		require.ErrorContains(t, err, want)
	}
}
