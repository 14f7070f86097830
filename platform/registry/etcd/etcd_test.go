package etcd_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/registry/etcd"
	"hongyan/platform/registry/etcd/etcdserver"
	"hongyan/platform/registry/registrytest"
)

const patience = 30 * time.Second

func TestMain(m *testing.M) { obstest.Main(m) }

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// server is an etcd that can be stopped, started and wiped.
type server struct {
	config  etcdserver.Config
	running *etcdserver.Server
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{config: etcdserver.Config{DataDir: filepath.Join(t.TempDir(), "etcd"), Listen: "127.0.0.1:0", HashCost: 4}}
	s.start(t)
	s.config.Listen = s.running.Endpoint()
	t.Cleanup(func() { s.running.Close() })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	running, err := etcdserver.Start(within(t), s.config)
	require.NoError(t, err)
	s.running = running
}

func (s *server) stop(*testing.T) { s.running.Close() }

func (s *server) wipe(t *testing.T) {
	t.Helper()
	s.running.Close()
	require.NoError(t, os.RemoveAll(s.config.DataDir))
	s.start(t)
}

func open(t *testing.T, config etcd.Config) *etcd.Registry {
	t.Helper()
	r, err := etcd.Open(t.Context(), config)
	require.NoError(t, err)
	return r
}

func TestConforms(t *testing.T) {
	server := newServer(t)
	var harnesses atomic.Int64
	registrytest.Run(t, func(*testing.T) registrytest.Harness {
		prefix := fmt.Sprintf("/test/%d", harnesses.Add(1))
		proxies := map[registry.Registry]*registrytest.Proxy{}
		return registrytest.Harness{
			Open: func(t *testing.T) registry.Registry {
				proxy := registrytest.NewProxy(t, server.config.Listen)
				r := open(t, etcd.Config{Endpoints: []string{proxy.Addr()}, Prefix: prefix})
				proxies[r] = proxy
				return r
			},
			Patience: patience,
			Outage: &registrytest.Outage{
				Lease: 3 * time.Second, Stop: server.stop, Start: server.start, Wipe: server.wipe,
				Cut: func(_ *testing.T, r registry.Registry) func() {
					proxies[r].Cut()
					return proxies[r].Mend
				},
				Kill: func(_ *testing.T, r registry.Registry) { proxies[r].Cut() },
			},
		}
	})
}
