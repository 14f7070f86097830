package social

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// metrics are what operators see of searches. How far behind the followed logs are is told by platform/eventlog.
type metrics struct {
	// searches is the time that searches take, waits that for which they waited for the logs before.
	searches, waits prometheus.Observer
	// behind counts searches that did without the newest of a log.
	behind *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	seconds := func(name, help string) prometheus.Observer {
		return obs.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: obs.LatencyBuckets()}))
	}
	behind := obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hongyan_social_searches_behind_total",
		Help: "Searches of the user directory that were answered without the newest of a log, identity or room, after a second.",
	}, []string{"log"}))
	for _, log := range []string{identityLog, roomLog} {
		behind.WithLabelValues(log)
	}
	return &metrics{
		searches: seconds("hongyan_social_search_seconds", "Time of a search of the user directory in the database."),
		waits: seconds("hongyan_social_search_wait_seconds",
			"Time for which a search of the user directory waited until what had been acknowledged before it was known."),
		behind: behind,
	}
}
