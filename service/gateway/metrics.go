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
	tallies  tallies
	// limited counts refusals for being too fast, by class and by what is counted.
	limited *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, s *sessions) *metrics {
	s.register(reg)
	return &metrics{
		limited: obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hongyan_gateway_limited_total",
			Help: "Requests refused for being too fast, by the limit's class and by what it counts: account, address, or an address's bad tokens.",
		}, []string{"class", "counted"})),
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
	tally    *tally
	requests *prometheus.CounterVec
	byStatus sync.Map // int to prometheus.Counter
}

func (m *metrics) endpoint(service string, route httpx.Route, remote bool) *endpointMetrics {
	labels := prometheus.Labels{"service": service, "method": route.Method, "route": route.Path}
	e := &endpointMetrics{requests: m.requests.MustCurryWith(labels), tally: m.tallies.get(service, remote)}
	if !route.LongPoll {
		e.seconds = m.seconds.With(labels)
	}
	return e
}

// answered counts an answer; failed says that the server was at fault.
func (e *endpointMetrics) answered(status int, failed bool, took time.Duration) {
	counter, ok := e.byStatus.Load(status)
	if !ok {
		counter, _ = e.byStatus.LoadOrStore(status, e.requests.WithLabelValues(strconv.Itoa(status)))
	}
	counter.(prometheus.Counter).Inc()
	e.tally.count(failed, took, e.seconds == nil)
	if e.seconds != nil {
		e.seconds.Observe(took.Seconds())
	}
}

// register registers what is read of the cache of tokens when somebody asks for it.
func (s *sessions) register(reg prometheus.Registerer) {
	read := func(value func() uint64) func() float64 {
		return func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(value())
		}
	}
	for result, value := range map[string]func() uint64{
		"hit": func() uint64 { return s.hits }, "miss": func() uint64 { return s.misses },
	} {
		obs.RegisterLatest(reg, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "hongyan_gateway_token_cache_total", Help: "Access tokens of requests by whether their owner was remembered: hit or miss.",
			ConstLabels: prometheus.Labels{"result": result},
		}, read(value)))
	}
	obs.Gauge(reg, "hongyan_gateway_token_cache_entries", "Access tokens whose owner is remembered.",
		read(func() uint64 { return uint64(len(s.known)) }))
	obs.Gauge(reg, "hongyan_gateway_token_cache_entries_max", "Access tokens whose owner may be remembered.",
		func() float64 { return float64(s.capacity) })
}

// limit counts a refusal for being too fast.
func (m *metrics) limit(class httpx.Limit, counted string) {
	if class == httpx.LimitDefault {
		class = "default"
	}
	m.limited.WithLabelValues(string(class), counted).Inc()
}
