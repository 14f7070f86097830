package cluster

import (
	"net/http"
	"slices"

	"hongyan/platform/registry"
)

// Foreign are services that are not part of the program, and were found in the registry.
type Foreign struct {
	cluster *Cluster
	own     []string
}

// Foreign are all services but own.
func (c *Cluster) Foreign(own []string) Foreign { return Foreign{cluster: c, own: own} }

// Instances are those that are ready, in order, and a channel that is closed when that may have changed.
func (f Foreign) Instances() ([]registry.Instance, <-chan struct{}) {
	directory := f.cluster.directory
	changed := directory.Changed()
	var list []registry.Instance
	for _, service := range directory.Services() {
		if slices.Contains(f.own, service) {
			continue
		}
		for _, i := range directory.All(service) {
			if i.State == registry.Ready {
				list = append(list, i)
			}
		}
	}
	return list, changed
}

// Upstream reaches those instances of a service that serves names.
func (f Foreign) Upstream(service string, serves func(registry.Instance) bool) (http.RoundTripper, error) {
	return f.cluster.upstream(service, serves)
}
