// Package memory is the bus of one process, the default.
package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"hongyan/platform/bus"
)

// DefaultQueue is how many messages wait for a slow subscriber before the oldest are dropped.
const DefaultQueue = 1024

// Bus delivers to the subscribers of this process.
type Bus struct {
	size int

	mu     sync.RWMutex
	subs   []*subscription
	closed bool
}

var _ bus.Bus = (*Bus)(nil)

// New returns a bus whose subscribers have queues of size messages; 0 is DefaultQueue.
func New(size int) *Bus {
	if size <= 0 {
		size = DefaultQueue
	}
	return &Bus{size: size}
}

// Publish queues data for each subscriber whose pattern fits.
func (b *Bus) Publish(ctx context.Context, subject string, data []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := bus.CheckSubject(subject); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if len(data) > bus.MaxMessage {
		return fmt.Errorf("publish %s: %d bytes are too many", subject, len(data))
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		return bus.ErrClosed
	}
	var message bus.Message
	for _, s := range b.subs {
		if !bus.Fits(s.pattern, subject) {
			continue
		}
		if message.Subject == "" {
			message = bus.Message{Subject: subject, Data: slices.Clone(data)}
		}
		s.Push(message)
	}
	return nil
}

// Subscribe adds a subscriber.
func (b *Bus) Subscribe(pattern string, handler bus.Handler) (bus.Subscription, error) {
	if err := bus.CheckPattern(pattern); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	s := &subscription{Queue: bus.NewQueue(b.size, handler), bus: b, pattern: pattern}
	b.subs = append(b.subs, s)
	return s, nil
}

// Connected is true until Close: there is nobody else to reach.
func (b *Bus) Connected() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return !b.closed
}

// Close ends all subscriptions and waits for their handlers.
func (b *Bus) Close() error {
	b.mu.Lock()
	subs := b.subs
	b.subs, b.closed = nil, true
	b.mu.Unlock()
	for _, s := range subs {
		s.Close()
	}
	return nil
}

type subscription struct {
	*bus.Queue
	bus     *Bus
	pattern string
}

// Unsubscribe ends the subscription and waits for its handler.
func (s *subscription) Unsubscribe() {
	s.bus.mu.Lock()
	s.bus.subs = slices.DeleteFunc(s.bus.subs, func(x *subscription) bool { return x == s })
	s.bus.mu.Unlock()
	s.Close()
}
