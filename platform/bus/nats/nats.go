// Package nats is the bus over NATS: core publish and subscribe, nothing is stored.
package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus"
	"hongyan/platform/obs"
)

// Config says where NATS is.
type Config struct {
	// URLs are the servers' ("nats://host:4222").
	URLs []string `yaml:"urls"`
	// Token is the token they want, or empty.
	Token obs.Secret `yaml:"token"`
	// Prefix is put before every subject, so that deployments can share a NATS; empty is "hongyan".
	Prefix string `yaml:"prefix"`
	// Queue is how many messages wait for a slow subscriber before the oldest are dropped; 0 is 1024.
	Queue int `yaml:"queue"`
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if len(c.URLs) == 0 {
		return errors.New("nats: no urls")
	}
	if c.Prefix != "" {
		if err := bus.CheckSubject(c.Prefix); err != nil {
			return fmt.Errorf("nats prefix: %w", err)
		}
	}
	return nil
}

// Bus is a connection to NATS that comes back by itself.
type Bus struct {
	nc     *natsgo.Conn
	prefix string
	size   int
	gone   chan struct{} // closed when the connection's goroutines are done

	mu     sync.Mutex
	subs   []*subscription
	closed bool
}

var _ bus.Bus = (*Bus)(nil)

// Open connects to NATS. Servers that are not there yet are no error: it goes on trying.
func Open(config Config, opts ...natsgo.Option) (*Bus, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	b := &Bus{prefix: config.Prefix, size: config.Queue, gone: make(chan struct{})}
	if b.prefix == "" {
		b.prefix = "hongyan"
	}
	b.prefix += "."
	if b.size <= 0 {
		b.size = 1024
	}
	opts = append([]natsgo.Option{
		natsgo.Name("hongyan"), natsgo.RetryOnFailedConnect(true), natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(200 * time.Millisecond), natsgo.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		// Wake-ups that are late are worth nothing: do not keep them for the time after.
		natsgo.ReconnectBufSize(-1),
		natsgo.PingInterval(2 * time.Second), natsgo.MaxPingsOutstanding(2), natsgo.Timeout(2 * time.Second),
		natsgo.Token(config.Token.Reveal()), natsgo.IgnoreAuthErrorAbort(), // a token may be put right at the server
		natsgo.ClosedHandler(func(*natsgo.Conn) { close(b.gone) }),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			if err != nil {
				logx.Errorf("bus: lost nats: %v", err)
			}
		}),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { logx.Info("bus: nats is back") }),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { logx.Errorf("bus: nats: %v", err) }),
	}, opts...)
	nc, err := natsgo.Connect(strings.Join(config.URLs, ","), opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	b.nc = nc
	return b, nil
}

// Publish sends data. While NATS is away it fails: the message is lost.
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
	if err := b.nc.Publish(b.prefix+subject, data); err != nil {
		if errors.Is(err, natsgo.ErrConnectionClosed) {
			return bus.ErrClosed
		}
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	return nil
}

// Subscribe subscribes at the server. While NATS is away it is remembered and made good later.
func (b *Bus) Subscribe(pattern string, handler bus.Handler) (bus.Subscription, error) {
	if err := bus.CheckPattern(pattern); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	s, err := b.subscribe(pattern, handler)
	if err != nil {
		return nil, err
	}
	if b.nc.IsConnected() {
		// What is published by others from now on must come: wait until the server knows. If it goes away instead,
		// the subscription is made again on reconnecting.
		_ = b.nc.FlushTimeout(2 * time.Second)
	}
	return s, nil
}

func (b *Bus) subscribe(pattern string, handler bus.Handler) (*subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, bus.ErrClosed
	}
	s := &subscription{Queue: bus.NewQueue(b.size, handler), bus: b}
	sub, err := b.nc.Subscribe(b.prefix+pattern, func(m *natsgo.Msg) {
		s.Push(bus.Message{Subject: strings.TrimPrefix(m.Subject, b.prefix), Data: m.Data})
	})
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("subscribe to %s: %w", pattern, err)
	}
	s.sub = sub
	b.subs = append(b.subs, s)
	return s, nil
}

// Connected says whether a server is connected.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Close ends all subscriptions, closes the connection and waits for its goroutines.
func (b *Bus) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		<-b.gone
		return nil
	}
	b.closed = true
	subs := b.subs
	b.subs = nil
	b.mu.Unlock()
	for _, s := range subs {
		s.end()
	}
	b.nc.Close()
	<-b.gone
	return nil
}

type subscription struct {
	*bus.Queue
	bus *Bus
	sub *natsgo.Subscription
}

// Unsubscribe ends the subscription and waits for its handler.
func (s *subscription) Unsubscribe() {
	s.bus.mu.Lock()
	s.bus.subs = slices.DeleteFunc(s.bus.subs, func(x *subscription) bool { return x == s })
	s.bus.mu.Unlock()
	s.end()
}

func (s *subscription) end() {
	_ = s.sub.Unsubscribe() // it fails when it is ended already, or the connection is
	s.Close()
}
