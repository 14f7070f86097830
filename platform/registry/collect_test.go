package registry_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/platform/registry"
	"hongyan/platform/registry/memory"
)

func TestADirectoryIsMeasured(t *testing.T) {
	r := memory.New()
	defer func() { require.NoError(t, r.Close()) }()
	for id, state := range map[string]registry.State{"a": registry.Ready, "b": registry.Ready, "c": registry.Draining} {
		require.NoError(t, r.Put(t.Context(), room(id, state)))
	}
	d, _ := directory(t, r)
	eventually(t, []string{"a", "b", "c"}, func() []registry.Instance { return d.All("room") })
	d.SetDown(room("a", registry.Ready), registry.PortHTTP, true)
	d.Avoid(room("b", registry.Ready))
	reg := prometheus.NewRegistry()
	reg.MustRegister(d.Collector())
	families, err := reg.Gather()
	require.NoError(t, err)
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			require.Equal(t, "room", m.GetLabel()[0].GetValue())
			got[m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
		}
	}
	require.Equal(t, map[string]float64{"ready": 2, "starting": 0, "draining": 1, "down": 1, "avoided": 1}, got)
}
