package nats

import (
	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
)

// Collector returns the metrics of the server.
func (s *Server) Collector() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("hongyan_nats_"+name, help, labels, nil)
	}
	return serverCollector{
		server:        s.ns,
		clients:       desc("clients", "Processes that are connected to this node's bus."),
		routes:        desc("routes", "Connections to the buses of other nodes; several to each."),
		subscriptions: desc("subscriptions", "Subscriptions that this node's bus knows of."),
		messages:      desc("messages_total", "Messages that came in and went out, to other nodes too.", "direction"),
		bytes:         desc("bytes_total", "Bytes of these messages.", "direction"),
		slow:          desc("slow_consumers_total", "Connections that were closed because they did not read what they had subscribed to."),
	}
}

type serverCollector struct {
	server                                                *server.Server
	clients, routes, subscriptions, messages, bytes, slow *prometheus.Desc
}

// Describe sends the descriptions.
func (c serverCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.clients, c.routes, c.subscriptions, c.messages, c.bytes, c.slow} {
		to <- d
	}
}

// Collect sends the numbers; those of messages not where the server cannot tell.
func (c serverCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(c.clients, float64(c.server.NumClients()))
	gauge(c.routes, float64(c.server.NumRoutes()))
	gauge(c.subscriptions, float64(c.server.NumSubscriptions()))
	counter(c.slow, c.server.NumSlowConsumers())
	if all, err := c.server.Varz(nil); err == nil {
		counter(c.messages, all.InMsgs, "in")
		counter(c.messages, all.OutMsgs, "out")
		counter(c.bytes, all.InBytes, "in")
		counter(c.bytes, all.OutBytes, "out")
	}
}
