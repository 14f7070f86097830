package backup_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"hongyan/service/keys/internal/backup"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := newRig(t, databases["sqlite"](t), func(c *backup.Config) { c.MaxKeys, c.RequestKeys = 3, 4 })
	g.metrics = reg
	g = g.instance(t)
	old, version := g.create(), g.create()
	sessions := func(rank rank, ids ...string) object {
		all := object{}
		for _, id := range ids {
			all[id] = rank.key("x")
		}
		return object{"sessions": all}
	}
	g.ok("PUT", at(version, "!a:hs"), sessions(rank{}, "1", "2", "3"))
	g.ok("PUT", at(version, "!a:hs"), sessions(rank{Index: 1}, "1", "2"))      // no better
	g.ok("PUT", at(version, "!a:hs", "1"), rank{Verified: true}.key("better")) // better
	g.fails(403, "M_WRONG_ROOM_KEYS_VERSION", "PUT", at(old, "!a:hs"), sessions(rank{}, "1"))
	g.fails(413, "M_TOO_LARGE", "PUT", at(version, "!a:hs"), sessions(rank{}, "4", "5", "6", "7", "8"))
	full, _ := g.call("PUT", at(version, "!a:hs"), sessions(rank{}, "4"))
	require.GreaterOrEqual(t, full, 400)
	g.ok("GET", at(version), nil)
	g.ok("GET", at(version, "!a:hs", "2"), nil)
	g.ok("DELETE", "version/"+old, nil)
	require.Equal(t, map[string]float64{
		"hongyan_keys_backup_large":                       0,
		"hongyan_keys_backup_large_max":                   4,
		"hongyan_keys_backup_read_total":                  4,
		"hongyan_keys_backup_refused_total full":          1,
		"hongyan_keys_backup_refused_total large":         1,
		"hongyan_keys_backup_refused_total wrong_version": 1,
		"hongyan_keys_backup_stored_total kept":           2,
		"hongyan_keys_backup_stored_total stored":         4,
		"hongyan_keys_backup_versions_total deleted":      1,
		"hongyan_keys_backup_versions_total made":         2,
	}, values(t, reg))
}

// values are those of all counters and gauges, by name and labels.
func values(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}
