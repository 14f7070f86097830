package identity

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
	"hongyan/service/identity/internal/password"
)

// metrics are what operators see of password checks.
type metrics struct {
	seconds            prometheus.Observer
	right, wrong, busy prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, hasher *password.Hasher) *metrics {
	checks := obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hongyan_identity_password_checks_total", Help: "Password checks by result: right, wrong, or busy where too many waited.",
	}, []string{"result"}))
	obs.Gauge(reg, "hongyan_identity_password_queue", "Requests that wait for a password to be hashed.", func() float64 {
		return float64(hasher.Waiting())
	})
	obs.Gauge(reg, "hongyan_identity_password_queue_max", "Requests that may wait for a password to be hashed.", func() float64 {
		return float64(hasher.MostWaiting())
	})
	return &metrics{
		seconds: obs.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hongyan_identity_password_seconds", Help: "Time of a password check, with waiting for a processor.", Buckets: obs.LatencyBuckets(),
		})),
		right: checks.WithLabelValues("right"), wrong: checks.WithLabelValues("wrong"), busy: checks.WithLabelValues("busy"),
	}
}

// verify is the hasher's, measured.
func (s *Service) verify(ctx context.Context, phc, text string) (bool, error) {
	began := time.Now()
	ok, err := s.hasher.Verify(ctx, phc, text)
	switch {
	case errors.Is(err, password.ErrBusy):
		s.metrics.busy.Inc()
	case err != nil:
	case ok:
		s.metrics.right.Inc()
	default:
		s.metrics.wrong.Inc()
	}
	if err == nil {
		s.metrics.seconds.Observe(time.Since(began).Seconds())
	}
	return ok, err
}
