package hop

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/balance"
	"hongyan/platform/obs"
)

// metrics are what operators see of the hop.
type metrics struct {
	attempts  *prometheus.CounterVec
	repeats   *prometheus.CounterVec
	exhausted prometheus.Counter
	waiting   prometheus.Gauge
	down      *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		attempts: obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hongyan_hop_attempts_total",
			Help: "Requests sent to instances, by service and outcome: answered, failed, or ignored (refused unheard, or ended by the client).",
		}, []string{"service", "outcome"})),
		repeats: obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hongyan_hop_repeats_total",
			Help: "Requests that were tried once more, by service.",
		}, []string{"service"})),
		exhausted: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_hop_budget_exhausted_total",
			Help: "Requests that were not tried once more because too many were.",
		})),
		waiting: obs.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hongyan_hop_waiting",
			Help: "Requests that wait for an instance to appear.",
		})),
		down: obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hongyan_hop_down_total",
			Help: "Times that an instance was found not to answer, by service.",
		}, []string{"service"})),
	}
}

func (m *metrics) attempt(service string, outcome balance.Outcome) {
	name := "answered"
	switch outcome {
	case balance.Answered:
	case balance.Failed:
		name = "failed"
	case balance.Ignored:
		name = "ignored"
	}
	m.attempts.WithLabelValues(service, name).Inc()
}
