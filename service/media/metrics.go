package media

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// Why uploads are refused.
const (
	refusedLarge  = "large"
	refusedQuota  = "quota"
	refusedAtOnce = "at_once"
	refusedUnused = "unused"
)

// What comes of thumbnails that are not there yet.
const (
	thumbnailMade  = "made"
	thumbnailNone  = "no_picture"
	thumbnailLarge = "large"
	thumbnailSlow  = "slow"
	thumbnailBusy  = "at_once"
)

// What comes of previews of web pages.
const (
	previewMade    = "made"
	previewKept    = "kept"
	previewFailed  = "failed"
	previewRefused = "refused"
	previewBusy    = "at_once"
)

// metrics are what operators see of uploads, thumbnails and previews.
type metrics struct {
	uploads          *prometheus.CounterVec
	uploadBytes      prometheus.Counter
	refused          *prometheus.CounterVec
	thumbnails       *prometheus.CounterVec
	thumbnailSeconds prometheus.Observer
	previews         *prometheus.CounterVec
	removed          prometheus.Counter
	waiting          prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counters := func(name, help, label string) *prometheus.CounterVec {
		return obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}))
	}
	counter := func(name, help string) prometheus.Counter {
		return obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
	}
	return &metrics{
		uploads: counters("hongyan_media_uploads_total",
			"Uploads that were kept by what was done: stored, or known where there was the same content.", "result"),
		uploadBytes: counter("hongyan_media_upload_bytes_total", "Size of the uploads that were kept."),
		refused: counters("hongyan_media_refused_total",
			"Uploads, and ids for them, that were refused by why: large, quota, at_once, or unused for too many ids without content.", "why"),
		thumbnails: counters("hongyan_media_thumbnails_total",
			"Thumbnails that were not there when they were asked for by what came of it: made, no_picture, large, slow, or at_once for too many of one user.", "result"),
		thumbnailSeconds: obs.Register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hongyan_media_thumbnail_seconds", Help: "How long pictures were made smaller.", Buckets: obs.LatencyBuckets(),
		})),
		previews: counters("hongyan_media_previews_total",
			"Previews of web pages by what came of it: made, kept for one that was there, failed, refused, or at_once for too many of one user.", "result"),
		removed: counter("hongyan_media_removed_blobs_total", "Blobs that were removed because nobody needs them."),
		waiting: obs.Register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hongyan_media_waiting", Help: "Downloads that wait for content that is not uploaded yet.",
		})),
	}
}

func (m *metrics) uploaded(size int64, known bool) {
	result := "stored"
	if known {
		result = "known"
	}
	m.uploads.WithLabelValues(result).Inc()
	m.uploadBytes.Add(float64(size))
}

func (m *metrics) refuse(why string) { m.refused.WithLabelValues(why).Inc() }

func (m *metrics) preview(result string) { m.previews.WithLabelValues(result).Inc() }

func (m *metrics) thumbnail(result string) { m.thumbnails.WithLabelValues(result).Inc() }
