package zookeeper_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/registry/registrytest"
	"hongyan/platform/registry/zookeeper"
	"hongyan/test/zktest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

// folder returns a prefix of one test's own.
func folder() string { return "/test/" + strings.ToLower(rand.Text()) }

func open(t *testing.T, config zookeeper.Config) *zookeeper.Registry {
	t.Helper()
	r, err := zookeeper.Open(config)
	require.NoError(t, err)
	return r
}

func TestConforms(t *testing.T) {
	server := zktest.Shared(t)
	registrytest.Run(t, func(*testing.T) registrytest.Harness {
		prefix := folder()
		proxies := map[registry.Registry]*registrytest.Proxy{}
		return registrytest.Harness{
			Open: func(t *testing.T) registry.Registry {
				proxy := registrytest.NewProxy(t, server.Addr())
				r := open(t, zookeeper.Config{Endpoints: []string{proxy.Addr()}, Prefix: prefix})
				proxies[r] = proxy
				return r
			},
			Outage: &registrytest.Outage{
				Lease: zktest.MinSession,
				Stop:  func(t *testing.T) { server.Stop(t) },
				Start: func(t *testing.T) { server.Start(t) },
				Wipe:  func(t *testing.T) { server.Wipe(t) },
				Cut: func(_ *testing.T, r registry.Registry) func() {
					proxies[r].Cut()
					return proxies[r].Mend
				},
				Kill: func(_ *testing.T, r registry.Registry) { proxies[r].Cut() },
			},
		}
	})
}
