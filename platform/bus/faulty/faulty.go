// Package faulty is a bus that drops, delays and repeats what another bus delivers, for tests.
package faulty

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"hongyan/platform/bus"
)

// Config says how bad the bus is. Each share is between 0 and 1.
type Config struct {
	// Drop is the share of messages that no handler sees, Repeat of those that one sees twice, Delay of those that
	// come late by up to MaxDelay, and so out of order.
	Drop, Repeat, Delay float64
	MaxDelay            time.Duration
	// Seed makes the faults repeatable.
	Seed uint64
}

// Bus is another bus, with faults in delivery.
type Bus struct {
	bus.Bus
	config Config
	cut    atomic.Bool

	mu   sync.Mutex
	rand *rand.Rand
	subs []*subscription
}

// New returns inner with faults.
func New(inner bus.Bus, config Config) *Bus {
	return &Bus{Bus: inner, config: config, rand: rand.New(rand.NewPCG(config.Seed, 1))}
}

// Cut makes the bus drop everything and be unconnected, or ends that.
func (b *Bus) Cut(cut bool) { b.cut.Store(cut) }

// Connected is false while the bus is cut.
func (b *Bus) Connected() bool { return !b.cut.Load() && b.Bus.Connected() }

// fate decides what happens to one message.
func (b *Bus) fate() (copies int, delay time.Duration) {
	if b.cut.Load() {
		return 0, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	copies = 1
	if b.rand.Float64() < b.config.Repeat {
		copies = 2
	}
	if b.rand.Float64() < b.config.Drop {
		copies = 0
	}
	if b.config.MaxDelay > 0 && b.rand.Float64() < b.config.Delay {
		delay = time.Duration(b.rand.Int64N(int64(b.config.MaxDelay)) + 1)
	}
	return copies, delay
}

// Subscribe subscribes with faults. handler may be called by several goroutines one after another, never at once.
func (b *Bus) Subscribe(pattern string, handler bus.Handler) (bus.Subscription, error) {
	s := &subscription{handler: handler, timers: map[*time.Timer]struct{}{}}
	inner, err := b.Bus.Subscribe(pattern, func(m bus.Message) {
		copies, delay := b.fate()
		for range copies {
			if delay > 0 {
				s.later(m, delay)
			} else {
				s.call(m)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	s.Subscription = inner
	b.mu.Lock()
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	return s, nil
}

// Close ends all subscriptions and the inner bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	subs := b.subs
	b.subs = nil
	b.mu.Unlock()
	for _, s := range subs {
		s.Unsubscribe()
	}
	return b.Bus.Close()
}

type subscription struct {
	bus.Subscription
	handler bus.Handler
	late    sync.WaitGroup

	calling sync.Mutex // one call of handler at a time

	mu     sync.Mutex
	timers map[*time.Timer]struct{}
	ended  bool
}

func (s *subscription) call(m bus.Message) {
	s.calling.Lock()
	defer s.calling.Unlock()
	s.handler(m)
}

func (s *subscription) later(m bus.Message, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.late.Add(1)
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		defer s.late.Done()
		s.mu.Lock() // which also waits for timer to be set
		delete(s.timers, timer)
		ended := s.ended
		s.mu.Unlock()
		if !ended {
			s.call(m)
		}
	})
	s.timers[timer] = struct{}{}
}

// Unsubscribe ends the subscription and waits for its handler and for what is late.
func (s *subscription) Unsubscribe() {
	s.Subscription.Unsubscribe()
	s.mu.Lock()
	s.ended = true
	for t := range s.timers {
		if t.Stop() {
			s.late.Done()
		}
	}
	clear(s.timers)
	s.mu.Unlock()
	s.late.Wait()
}
