package rpc

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// DefaultTimeout is the deadline of a call whose context has none and whose method is not in the table.
const DefaultTimeout = 5 * time.Second

// MaxMessage is the largest message in bytes over the network.
const MaxMessage = 64 << 20

// Options are the same for servers and connections. The zero value is right.
type Options struct {
	// Timeouts are the deadlines of methods ("/hongyan.room.v1.Room/State") called without one. Streams have none.
	Timeouts map[string]time.Duration
	// Idempotent tells which methods may be called again after an instance may have done its work without answering:
	// reads, and writes that do nothing the second time. nil is none. Calls that were not heard are repeated anyway.
	Idempotent func(method string) bool
	// Registerer gets the metrics; nil measures nothing that is seen.
	Registerer prometheus.Registerer
}

func (o Options) timeout(method string) time.Duration {
	if d, ok := o.Timeouts[method]; ok {
		return d
	}
	return DefaultTimeout
}

// requestIDHeader carries the request id.
const requestIDHeader = "x-request-id"

type keyKey struct{}

// WithKey returns a context whose calls go to the instance that owns the key (a room id, a user id).
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey{}, key)
}

// KeyOf returns the key of WithKey.
func KeyOf(ctx context.Context) (key string, ok bool) {
	key, ok = ctx.Value(keyKey{}).(string)
	return key, ok
}

type rpcMetrics struct{ seconds *prometheus.HistogramVec }

func newMetrics(reg prometheus.Registerer, side string) rpcMetrics {
	return rpcMetrics{obs.Register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "hongyan", Subsystem: "rpc_" + side, Name: "seconds",
		Help: "How long calls between services took on the " + side + "'s side.", Buckets: obs.LatencyBuckets(),
	}, []string{"method", "code"}))}
}

func (m rpcMetrics) observe(method string, start time.Time, err error) {
	m.seconds.WithLabelValues(method, statusCode(err)).Observe(time.Since(start).Seconds())
}
