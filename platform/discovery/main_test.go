package discovery_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"hongyan/platform/discovery"
	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
)

func TestMain(m *testing.M) { obstest.Main(m) }

const patience = 20 * time.Second

// running runs something until the test ends.
func running(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// directory returns a directory that knows these instances.
func directory(t *testing.T, instances ...registry.Instance) (*registry.Directory, *memory.Registry) {
	t.Helper()
	r := memory.New()
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	d, err := registry.NewDirectory(r, registry.DirectoryConfig{Shards: 1, ShardOf: func(string, int) int { return 0 }})
	require.NoError(t, err)
	running(t, d.Run)
	for _, i := range instances {
		require.NoError(t, r.Put(t.Context(), i))
	}
	require.Eventually(t, func() bool {
		known := 0
		for _, service := range d.Services() {
			known += len(d.All(service))
		}
		return known == len(instances)
	}, patience, time.Millisecond)
	return d, r
}

func instance(service, id, http, grpc string) registry.Instance {
	return registry.Instance{Service: service, BootID: id, HTTP: http, GRPC: grpc, State: registry.Ready}
}

// startDNS returns the address of a name server.
func startDNS(t *testing.T, d *registry.Directory) string {
	t.Helper()
	s, err := discovery.NewDNS(discovery.DNSConfig{Listen: "127.0.0.1:0", Zone: "Test.Internal"}, d, time.Now)
	require.NoError(t, err)
	addr, err := s.Listen(t.Context())
	require.NoError(t, err)
	running(t, s.Run)
	return addr
}
