package gateway

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/httpx"
	"hongyan/platform/obs"
)

// metrics are what operators see of the edge.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	parked   prometheus.Gauge
	refused  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		requests: obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hongyan_gateway_requests_total",
			Help: "Requests answered, by service, route and status.",
		}, []string{"service", "method", "route", "status"})),
		seconds: obs.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "hongyan_gateway_request_seconds",
			Help:    "Time to answer, by service and route, without long polls.",
			Buckets: obs.LatencyBuckets(),
		}, []string{"service", "method", "route"})),
		parked: obs.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hongyan_gateway_parked_polls",
			Help: "Long polls that wait.",
		})),
		refused: obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hongyan_gateway_refused_total",
			Help: "Requests that reached no service, by error code.",
		}, []string{"errcode"})),
	}
}

// endpointMetrics are those of one route.
type endpointMetrics struct {
	seconds  prometheus.Observer // nil for long polls
	requests *prometheus.CounterVec
	byStatus sync.Map // int to prometheus.Counter
}

func (m *metrics) endpoint(service string, route httpx.Route) *endpointMetrics {
	labels := prometheus.Labels{"service": service, "method": route.Method, "route": route.Path}
	e := &endpointMetrics{requests: m.requests.MustCurryWith(labels)}
	if !route.LongPoll {
		e.seconds = m.seconds.With(labels)
	}
	return e
}

// answered counts an answer.
func (e *endpointMetrics) answered(status int, took time.Duration) {
	counter, ok := e.byStatus.Load(status)
	if !ok {
		counter, _ = e.byStatus.LoadOrStore(status, e.requests.WithLabelValues(strconv.Itoa(status)))
	}
	counter.(prometheus.Counter).Inc()
	if e.seconds != nil {
		e.seconds.Observe(took.Seconds())
	}
}
