package registry

import "github.com/prometheus/client_golang/prometheus"

// Collector returns the metrics of a directory: how many instances of each service it knows, by state, and how many of
// them this process passes over.
func (d *Directory) Collector() prometheus.Collector {
	return directoryCollector{
		directory: d,
		instances: prometheus.NewDesc("hongyan_registry_instances",
			"Instances that this process knows of, by service and state.", []string{"service", "state"}, nil),
		unusable: prometheus.NewDesc("hongyan_registry_instances_unusable",
			"Instances that this process passes over: those that do not answer pings (down), and those that failed lately (avoided).",
			[]string{"service", "why"}, nil),
	}
}

type directoryCollector struct {
	directory           *Directory
	instances, unusable *prometheus.Desc
}

// Describe sends the descriptions.
func (c directoryCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.instances
	to <- c.unusable
}

// Collect sends the numbers.
func (c directoryCollector) Collect(to chan<- prometheus.Metric) {
	d := c.directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	now := d.config.Now()
	for service, l := range d.services {
		states := map[State]int{Starting: 0, Ready: 0, Draining: 0}
		for _, i := range l.instances {
			states[i.State]++
		}
		for state, n := range states {
			to <- prometheus.MustNewConstMetric(c.instances, prometheus.GaugeValue, float64(n), service, string(state))
		}
		avoided := 0
		for _, end := range l.avoided {
			if now.Before(end) {
				avoided++
			}
		}
		to <- prometheus.MustNewConstMetric(c.unusable, prometheus.GaugeValue, float64(len(l.down)), service, "down")
		to <- prometheus.MustNewConstMetric(c.unusable, prometheus.GaugeValue, float64(avoided), service, "avoided")
	}
}
