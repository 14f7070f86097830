package obs

import (
	"errors"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Register registers a collector and returns it, or the equal one that is registered already: several services in
// one process share their metrics, told apart by labels. A nil registerer registers nothing. It panics when the
// name is taken by a different collector, which is a mistake in the program.
func Register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	if err := reg.Register(c); err != nil {
		var dup prometheus.AlreadyRegisteredError
		if errors.As(err, &dup) {
			if old, ok := dup.ExistingCollector.(C); ok {
				return old
			}
		}
		panic(err)
	}
	return c
}

// RegisterLatest registers a collector that reads the state of something of which there is one at a time. One that is
// registered already is replaced: what it reads was closed, or is about to be.
func RegisterLatest(reg prometheus.Registerer, c prometheus.Collector) {
	if reg == nil {
		return
	}
	err := reg.Register(c)
	if err == nil {
		return
	}
	if dup := (prometheus.AlreadyRegisteredError{}); !errors.As(err, &dup) || !reg.Unregister(dup.ExistingCollector) {
		panic(err)
	}
	reg.MustRegister(c)
}

// Gauge registers a gauge that is read when somebody asks for it; see RegisterLatest.
func Gauge(reg prometheus.Registerer, name, help string, read func() float64) {
	RegisterLatest(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// OfService adds the label service to everything that is registered.
func OfService(reg prometheus.Registerer, service string) prometheus.Registerer {
	if reg == nil {
		return nil
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{"service": service}, reg)
}

// RegisterProcess registers what there is to know of the process itself: memory, processor time, Go's runtime, and which
// build it is.
func RegisterProcess(reg prometheus.Registerer, who Identity) {
	Register[prometheus.Collector](reg, collectors.NewGoCollector())
	Register[prometheus.Collector](reg, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "hongyan_build_info", Help: "1, with the program's version, Go's, and the process's boot id.",
	}, []string{"version", "go_version", "boot_id"})).WithLabelValues(who.Version, runtime.Version(), who.BootID).Set(1)
}

// SizeBuckets are the histogram buckets of how many things are done at once.
func SizeBuckets() []float64 { return []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512} }

// LatencyBuckets are the histogram buckets, in seconds, of everything that answers a request.
func LatencyBuckets() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}
