package rpc

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/balance"
	"hongyan/platform/obs"
	"hongyan/platform/registry"
)

// clusterMetrics are what calls to each instance are measured by. Series of an instance go when it does.
type clusterMetrics struct {
	calls     *prometheus.CounterVec
	open      *prometheus.GaugeVec
	opened    *prometheus.CounterVec
	retries   *prometheus.CounterVec
	exhausted *prometheus.CounterVec
}

func newClusterMetrics(reg prometheus.Registerer) clusterMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return obs.Register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "hongyan", Subsystem: "rpc_client", Name: name, Help: help,
		}, labels))
	}
	return clusterMetrics{
		calls:  counter("calls_total", "Calls to each instance, with what they say about it.", "service", "instance", "outcome"),
		opened: counter("breaker_opened_total", "How often the breaker of an instance opened.", "service"),
		retries: counter("retries_total", "Calls made again on another instance, because they were not heard or are idempotent.",
			"service", "why"),
		exhausted: counter("retry_budget_exhausted_total", "Calls that might have been repeated had there not been too many.",
			"service"),
		open: obs.Register(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "hongyan", Subsystem: "rpc_client", Name: "breaker_open",
			Help: "1 while an instance is passed over because its calls fail.",
		}, []string{"service", "instance"})),
	}
}

// Traffic is what this process knows of one instance that it calls.
type Traffic struct {
	// Instance is its record when it was listed first, or when its address, zone or weight changed.
	Instance registry.Instance
	balance.Stats
	// LastSeen is when it last answered anything; zero for never.
	LastSeen time.Time
	// RoundTrip is how long its last ping took; zero for unknown.
	RoundTrip time.Duration
	// Down tells that it does not answer pings.
	Down bool
}

// Traffic returns what is known of all instances of the services that were called, in order.
func (c *Cluster) Traffic() []Traffic {
	c.mu.Lock()
	callees := make([]*callee, 0, len(c.callees))
	for _, s := range c.callees {
		callees = append(callees, s)
	}
	c.mu.Unlock()
	var all []Traffic
	for _, s := range callees {
		for _, p := range s.known() {
			all = append(all, Traffic{
				Instance: p.instance, Stats: p.load.Stats(), LastSeen: c.prober.LastSeen(p.instance),
				RoundTrip: c.prober.RoundTrip(p.instance), Down: c.dir.IsDown(p.instance, registry.PortGRPC),
			})
		}
	}
	slices.SortFunc(all, func(a, b Traffic) int { return cmp.Or(registry.Compare(a.Instance, b.Instance)) })
	return all
}

// known returns the instances that have not left. What is asked of them takes the callee's lock itself.
func (s *callee) known() []*peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	peers := make([]*peer, 0, len(s.peers))
	for _, p := range s.peers {
		if !p.left.Load() {
			peers = append(peers, p)
		}
	}
	return peers
}
