package room

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// metrics are what operators see of the rooms in memory and of the operations on them.
type metrics struct {
	hits, misses prometheus.Counter
	waiting      prometheus.Gauge
	refused      prometheus.Counter
	batch        prometheus.Observer
	purged       prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, c *rooms) *metrics {
	looked := obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hongyan_room_cache_total", Help: "Operations by whether the room's state was in memory: hit or miss.",
	}, []string{"result"}))
	obs.Gauge(reg, "hongyan_room_cache_bytes", "Memory of the rooms' states, in bytes.", func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(c.bytes)
	})
	obs.Gauge(reg, "hongyan_room_cache_bytes_max", "Memory that the rooms' states may take, in bytes.", func() float64 { return float64(c.max) })
	obs.Gauge(reg, "hongyan_room_cache_rooms", "Rooms in memory.", func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(len(c.byID))
	})
	obs.RegisterLatest(reg, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "hongyan_room_cache_evictions_total", Help: "Rooms that left memory to make place for others.",
	}, func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(c.evicted)
	}))
	return &metrics{
		hits: looked.WithLabelValues("hit"), misses: looked.WithLabelValues("miss"),
		waiting: obs.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hongyan_room_operations", Help: "Operations on rooms that wait for their turn.",
		})),
		refused: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_room_refused_total", Help: "Operations refused because too many waited for the same room.",
		})),
		purged: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_room_purged_total", Help: "Events that were removed because they had expired or an administrator asked for it.",
		})),
		batch: obs.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hongyan_room_batch_operations", Help: "Operations of one room that were done together.", Buckets: obs.SizeBuckets(),
		})),
	}
}
