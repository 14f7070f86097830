package bus

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/platform/obs"
)

// Measure returns a bus that counts what b carries. Closing it closes b.
func Measure(b Bus, reg prometheus.Registerer) Bus {
	counter := func(name, help string) prometheus.Counter {
		return obs.Register(reg, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
	}
	m := &measured{
		Bus:       b,
		published: counter("hongyan_bus_published_total", "Messages that this process has sent."),
		failed:    counter("hongyan_bus_publish_errors_total", "Messages that could not be sent: followers find out by asking for the heads."),
		delivered: counter("hongyan_bus_delivered_total", "Messages that subscribers of this process have taken."),
		subs:      map[Subscription]struct{}{},
	}
	obs.Gauge(reg, "hongyan_bus_connected", "1 while messages reach other processes.", func() float64 {
		if b.Connected() {
			return 1
		}
		return 0
	})
	obs.RegisterLatest(reg, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "hongyan_bus_dropped_total", Help: "Messages that were dropped because a subscriber was slow.",
	}, m.droppedAll))
	return m
}

type measured struct {
	Bus
	published, failed, delivered prometheus.Counter

	mu      sync.Mutex
	subs    map[Subscription]struct{}
	dropped uint64 // by subscriptions that have ended
}

// Publish sends data.
func (m *measured) Publish(ctx context.Context, subject string, data []byte) error {
	err := m.Bus.Publish(ctx, subject, data)
	if err != nil {
		m.failed.Inc()
		return err
	}
	m.published.Inc()
	return nil
}

// Subscribe adds a subscriber.
func (m *measured) Subscribe(pattern string, handler Handler) (Subscription, error) {
	sub, err := m.Bus.Subscribe(pattern, func(message Message) {
		m.delivered.Inc()
		handler(message)
	})
	if err != nil {
		return nil, err
	}
	s := &measuredSubscription{Subscription: sub, bus: m}
	m.mu.Lock()
	m.subs[s] = struct{}{}
	m.mu.Unlock()
	return s, nil
}

func (m *measured) droppedAll() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.dropped
	for s := range m.subs {
		all += s.Dropped()
	}
	return float64(all)
}

type measuredSubscription struct {
	Subscription
	bus *measured
}

// Unsubscribe ends the subscription.
func (s *measuredSubscription) Unsubscribe() {
	s.Subscription.Unsubscribe()
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if _, ok := s.bus.subs[s]; ok {
		delete(s.bus.subs, s)
		s.bus.dropped += s.Dropped()
	}
}
