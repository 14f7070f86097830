package sqldb

import (
	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// use is how much of a database's connections and queues is in use.
type use struct {
	inUse, idle, most float64
	// waits are how often somebody had to wait for a connection.
	waits float64
	// queue is how many writes wait for SQLite's writer.
	queue float64
}

// registerUse registers what is read when somebody asks for it.
func registerUse(reg prometheus.Registerer, read func() use) {
	gauge := func(name, help string, labels prometheus.Labels, value func(use) float64) {
		obs.RegisterLatest(reg, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels},
			func() float64 { return value(read()) }))
	}
	const connections, help = "hongyan_sqldb_connections", "Connections to the database (SQLite: of readers), by state."
	gauge(connections, help, prometheus.Labels{"state": "in_use"}, func(u use) float64 { return u.inUse })
	gauge(connections, help, prometheus.Labels{"state": "idle"}, func(u use) float64 { return u.idle })
	gauge("hongyan_sqldb_connections_max", "Connections that there may be.", nil, func(u use) float64 { return u.most })
	gauge("hongyan_sqldb_write_queue", "Writes that wait for SQLite's writer; 0 on PostgreSQL.", nil,
		func(u use) float64 { return u.queue })
	obs.RegisterLatest(reg, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "hongyan_sqldb_waits_total", Help: "How often a connection was waited for because all were in use.",
	}, func() float64 { return read().waits }))
}

func (p *postgres) use() use {
	s := p.pool.Stat()
	return use{
		inUse: float64(s.AcquiredConns()), idle: float64(s.IdleConns()), most: float64(s.MaxConns()),
		waits: float64(s.EmptyAcquireCount()),
	}
}

func (l *lite) use() use {
	l.readers.mu.Lock()
	idle := len(l.readers.idle)
	l.readers.mu.Unlock()
	u := use{
		inUse: float64(len(l.readers.slots)), idle: float64(idle), most: float64(cap(l.readers.slots)),
		waits: float64(l.readers.waits.Load()),
	}
	if l.writer != nil {
		u.queue = float64(len(l.writer.queue))
	}
	return u
}
