package keys

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// metrics are what operators see of the keys that are handed out, and of messages to devices.
type metrics struct {
	oneTime, fallback, none prometheus.Counter
	conflicts               prometheus.Counter
	// uploaded are keys to be claimed.
	uploaded prometheus.Counter
	// queued are messages to devices; acknowledged are those that were deleted because the device has them; dropped those for which
	// there was no place.
	queued, acknowledged, dropped prometheus.Counter
	// queueMessages and queueBytes are the sizes of queues that were measured.
	queueMessages, queueBytes prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) *metrics {
	claimed := obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hongyan_keys_claimed_total",
		Help: "Keys that were asked for by what was handed out: one_time, fallback, or none where the device had neither.",
	}, []string{"kind"}))
	queue := func(name, help string, buckets []float64) prometheus.Observer {
		return obs.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}))
	}
	return &metrics{
		oneTime: claimed.WithLabelValues("one_time"), fallback: claimed.WithLabelValues("fallback"),
		none: claimed.WithLabelValues("none"),
		conflicts: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_keys_conflicts_total", Help: "Changes of keys that were made anew because another one was quicker.",
		})),
		uploaded: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_keys_uploaded_total", Help: "One-time and fallback keys that devices have uploaded.",
		})),
		queueMessages: queue("hongyan_keys_to_device_queue_messages",
			"Messages that wait for a device, of queues that were measured: by chance, those that get many messages more often.",
			prometheus.ExponentialBuckets(1, 4, 9)),
		queueBytes: queue("hongyan_keys_to_device_queue_bytes", "Size of what waits for a device, of queues that were measured.",
			prometheus.ExponentialBuckets(1<<10, 4, 10)),
		acknowledged: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_keys_to_device_acknowledged_total", Help: "Messages that were deleted because their devices have them.",
		})),
		queued: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_keys_to_device_total", Help: "Messages that were put into the queues of devices.",
		})),
		dropped: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_keys_to_device_dropped_total",
			Help: "Messages that were dropped from the queues of devices because too many waited there.",
		})),
	}
}
