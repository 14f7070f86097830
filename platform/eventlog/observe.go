package eventlog

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"hongyan/platform/obs"
)

// logMetrics are what operators see of a log.
type logMetrics struct {
	appendSeconds, commitSeconds, batch prometheus.Observer
	entries, conflicts, failures, lost  prometheus.Counter
	tailHits, tailMisses                prometheus.Counter
}

// labelled adds a label to all metrics that are registered.
func labelled(reg prometheus.Registerer, name, value string) prometheus.Registerer {
	if reg == nil {
		return nil
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{name: value}, reg)
}

func newLogMetrics(reg prometheus.Registerer) *logMetrics {
	histogram := func(name, help string, buckets []float64) prometheus.Observer {
		return obs.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}))
	}
	counter := func(name, help string) prometheus.Counter {
		return obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
	}
	reads := obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hongyan_eventlog_reads_total", Help: "Reads of a shard, by where they were answered from: memory (the tail) or the database.",
	}, []string{"from"}))
	return &logMetrics{
		appendSeconds: histogram("hongyan_eventlog_append_seconds", "Time of an append, from asking for it to its answer.", obs.LatencyBuckets()),
		commitSeconds: histogram("hongyan_eventlog_commit_seconds", "Time to write a batch, with its repetitions.", obs.LatencyBuckets()),
		batch:         histogram("hongyan_eventlog_batch_appends", "Appends that were written together.", obs.SizeBuckets()),
		entries:       counter("hongyan_eventlog_entries_total", "Entries written."),
		conflicts:     counter("hongyan_eventlog_conflicts_total", "Appends refused because their stream had moved on."),
		failures:      counter("hongyan_eventlog_failures_total", "Appends that were given up: the database was away or too slow."),
		lost:          counter("hongyan_eventlog_lost_total", "Batches whose connection was lost while they were written, and whose outcome had to be looked up."),
		tailHits:      reads.WithLabelValues("memory"),
		tailMisses:    reads.WithLabelValues("database"),
	}
}

// registerState registers what is read when somebody asks for it.
func (l *Log) registerState(reg prometheus.Registerer) {
	gauge := func(name, help string, value func() float64) {
		obs.RegisterLatest(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("hongyan_eventlog_queue", "Appends that wait to be written.", func() float64 {
		n := 0
		for _, q := range l.queues {
			n += len(q.room)
		}
		return float64(n)
	})
	gauge("hongyan_eventlog_queue_max", "Appends that may wait to be written.", func() float64 {
		return float64(len(l.queues) * l.cfg.MaxQueue)
	})
	gauge("hongyan_eventlog_tail_bytes", "Memory of the newest records, in bytes.", func() float64 {
		l.tail.mu.RLock()
		defer l.tail.mu.RUnlock()
		return float64(l.tail.bytes)
	})
}

// committed measures a batch that was answered.
func (m *logMetrics) committed(batch []*pending, began time.Time) {
	m.commitSeconds.Observe(time.Since(began).Seconds())
	m.batch.Observe(float64(len(batch)))
	written := 0
	for _, p := range batch {
		switch {
		case p.err == nil:
			written += len(p.Entries)
		case errors.Is(p.err, ErrConflict):
			m.conflicts.Inc()
		case errors.Is(p.err, ErrUnavailable), errors.Is(p.err, ErrUnknown):
			m.failures.Inc()
		}
	}
	m.entries.Add(float64(written))
}

// begin begins the span of an append in its caller's trace.
func (p *pending) begin(ctx context.Context, log string) {
	if obs.Traced(ctx) {
		_, p.span = obs.Span(ctx, "append "+log, trace.SpanKindInternal, attribute.Int("hongyan.entries", len(p.Entries)))
	}
}

// end ends it. A refusal is an answer, no failure.
func (p *pending) end() {
	if p.span == nil {
		return
	}
	p.span.SetAttributes(attribute.Bool("hongyan.conflict", errors.Is(p.err, ErrConflict)))
	if errors.Is(p.err, ErrUnavailable) || errors.Is(p.err, ErrUnknown) {
		obs.EndSpan(p.span, p.err)
		return
	}
	p.span.End()
}

// traceBatch begins the span of a batch: in the trace of the first append that is traced, and linked from the others.
func traceBatch(ctx context.Context, batch []*pending, log string) (context.Context, trace.Span) {
	var span trace.Span
	for _, p := range batch {
		switch {
		case p.span == nil:
		case span == nil:
			ctx, span = obs.Span(trace.ContextWithSpan(ctx, p.span), "commit "+log, trace.SpanKindInternal,
				attribute.Int("hongyan.appends", len(batch)))
		default:
			link := trace.Link{SpanContext: span.SpanContext()}
			p.span.AddLink(link)
			span.AddLink(trace.Link{SpanContext: p.span.SpanContext()})
		}
	}
	return ctx, span
}

// followMetrics are what operators see of a follower.
type followMetrics struct {
	records, failures prometheus.Counter
}

func newFollowMetrics(reg prometheus.Registerer) *followMetrics {
	return &followMetrics{
		records: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_eventlog_followed_total", Help: "Records that a follower has taken in.",
		})),
		failures: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_eventlog_follow_errors_total", Help: "Reads of the log, or steps of the follower, that failed and are repeated.",
		})),
	}
}

// lag is how many positions the follower has not taken in of what it knows of.
func (f *Follower) lag() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lag int64
	for i := range f.shards {
		lag += max(0, f.shards[i].head-f.shards[i].cursor)
	}
	return float64(lag)
}
