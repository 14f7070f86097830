package backup

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/matrix"
	"hongyan/platform/obs"
	"hongyan/service/keys/internal/backup/store"
)

// metrics are what operators see of key backup.
type metrics struct {
	// made and deleted are versions.
	made, deleted prometheus.Counter
	// stored are keys that clients sent and that were written, kept those for which there was a better one.
	stored, kept prometheus.Counter
	// read are keys that clients were given.
	read prometheus.Counter
	// refused are requests by why.
	wrongVersion, full, large prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counters := func(name, help, label string) *prometheus.CounterVec {
		return obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}))
	}
	versions := counters("hongyan_keys_backup_versions_total", "Backups of keys that were made, and deleted, by what was done.", "what")
	stored := counters("hongyan_keys_backup_stored_total",
		"Keys that clients sent to their backups by result: stored, or kept where the backup had one that is as good.", "result")
	refused := counters("hongyan_keys_backup_refused_total",
		"Requests to store keys in a backup, or to make one, that were refused by why: wrong_version, full, or large.", "why")
	return &metrics{
		made: versions.WithLabelValues("made"), deleted: versions.WithLabelValues("deleted"),
		stored: stored.WithLabelValues("stored"), kept: stored.WithLabelValues("kept"),
		read: obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hongyan_keys_backup_read_total", Help: "Keys that clients have read from their backups.",
		})),
		wrongVersion: refused.WithLabelValues("wrong_version"), full: refused.WithLabelValues("full"), large: refused.WithLabelValues("large"),
	}
}

// register registers what is read when somebody asks for it.
func (b *Backup) register(reg prometheus.Registerer) {
	obs.Gauge(reg, "hongyan_keys_backup_large", "Requests that store many keys in backups and are worked on.",
		func() float64 { return float64(len(b.large)) })
	obs.Gauge(reg, "hongyan_keys_backup_large_max", "Requests that store many keys in backups and may be worked on at once; others wait.",
		func() float64 { return float64(cap(b.large)) })
}

// refuse counts a request that failed.
func (m *metrics) refuse(err error) {
	var wrong store.WrongVersionError
	var refusal *matrix.Error
	switch {
	case errors.As(err, &wrong):
		m.wrongVersion.Inc()
	case errors.Is(err, store.ErrFull):
		m.full.Inc()
	case errors.As(err, &refusal) && refusal.Status == http.StatusRequestEntityTooLarge:
		m.large.Inc()
	}
}
