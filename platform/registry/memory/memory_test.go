package memory_test

import (
	"testing"

	"hongyan/platform/obs/obstest"
	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
	"hongyan/platform/registry/registrytest"
)

func TestMain(m *testing.M) { obstest.Main(m) }

func TestConforms(t *testing.T) {
	registrytest.Run(t, func(*testing.T) registrytest.Harness {
		store := memory.NewStore()
		return registrytest.Harness{Open: func(*testing.T) registry.Registry { return store.Open() }}
	})
}
