// Package nats is the bus over NATS: core publish and subscribe, nothing is stored.
package nats

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	// Setting is what whoever runs the server calls the token, for the log; empty is "token".
	Setting string `yaml:"-"`
	// TLS is how to connect; nil is in the clear, unless a URL says tls://.
	TLS *tls.Config `yaml:"-"`
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

// Bus is a connection to NATS that comes back by itself. Its client holds a lock while it connects, for seconds when a
// server is silent: only the bus's own goroutine and those who subscribe or close ask it anything.
type Bus struct {
	nc      *natsgo.Conn
	hosts   string // for the log
	setting string // for the log: what the token is called
	prefix  string
	size    int
	outbox  chan message
	wake    chan struct{} // there are chores
	tried   chan struct{} // closed when the first attempt to connect has ended
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when the bus's goroutine is done
	gone    chan struct{} // closed when the connection's goroutines are done

	connected atomic.Bool  // as the client's handlers last said
	reached   atomic.Bool  // it was connected once
	silent    atomic.Bool  // the last flush was not answered
	refused   atomic.Bool  // the token is wrong, and it was logged
	failure   atomic.Value // failure: why it could not connect last

	mu     sync.Mutex
	chores []func()
	subs   []*subscription
	closed bool
}

var _ bus.Bus = (*Bus)(nil)

// Open connects to NATS. Servers that are not there yet are no error: it goes on trying.
func Open(config Config, opts ...natsgo.Option) (*Bus, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	b := &Bus{
		hosts: hosts(config.URLs), setting: cmp.Or(config.Setting, "token"), prefix: config.Prefix, size: config.Queue,
		outbox: make(chan message, outboxSize), wake: make(chan struct{}, 1), tried: make(chan struct{}),
		closing: make(chan struct{}), done: make(chan struct{}), gone: make(chan struct{}),
	}
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
		natsgo.PingInterval(2 * time.Second), natsgo.MaxPingsOutstanding(2), natsgo.Timeout(patience),
		natsgo.FlusherTimeout(patience),                                    // of a write, which a silent server would hold up, and the pings with it
		natsgo.Token(config.Token.Reveal()), natsgo.IgnoreAuthErrorAbort(), // a token may be put right at the server
	}, opts...)
	opts = append(opts, b.handlers()...)
	if config.TLS != nil {
		opts = append(opts, natsgo.Secure(config.TLS))
	}
	late := time.NewTimer(patience)
	nc, err := natsgo.Connect(strings.Join(config.URLs, ","), opts...)
	if err != nil {
		late.Stop()
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	b.nc = nc
	<-b.tried
	go b.run(late)
	return b, nil
}

// Publish hands data to the bus's goroutine and never waits. While NATS is away it fails: the message is lost. So are
// messages that NATS, although connected, does not take.
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
	if b.isClosing() {
		return bus.ErrClosed
	}
	if !b.connected.Load() {
		return fmt.Errorf("publish %s: %w", subject, errAway)
	}
	select {
	case b.outbox <- message{b.prefix + subject, bytes.Clone(data)}:
		return nil
	default:
		return fmt.Errorf("publish %s: %w", subject, errFull)
	}
}

// Subscribe subscribes at the server. While NATS is away it is remembered and made good later.
func (b *Bus) Subscribe(pattern string, handler bus.Handler) (bus.Subscription, error) {
	if err := bus.CheckPattern(pattern); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, bus.ErrClosed
	}
	s := &subscription{Queue: bus.NewQueue(b.size, handler), bus: b, made: make(chan struct{})}
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	b.do(func() { s.subscribe(pattern) })
	b.settle(s)
	return s, nil
}

// settle waits until the server knows of s: what is published by others from now on must come. If the server goes away
// instead, the subscription is made again on reconnecting. One that was silent before is not waited for again.
func (b *Bus) settle(s *subscription) {
	if !b.connected.Load() {
		return
	}
	wait := patience
	if b.silent.Load() {
		wait = 20 * time.Millisecond
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-s.made:
	case <-timer.C:
		b.silent.Store(true)
		return
	case <-b.closing:
		return
	}
	if b.connected.Load() {
		b.silent.Store(b.nc.FlushTimeout(wait) != nil)
	}
}

// Connected says whether a server is connected. It never waits.
func (b *Bus) Connected() bool { return b.connected.Load() && !b.isClosing() }

// Close ends all subscriptions, sends what is published, closes the connection and waits for its goroutines: for a few
// seconds when NATS is silent.
func (b *Bus) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		<-b.gone
		<-b.done
		return nil
	}
	b.closed = true
	subs := b.subs
	b.subs = nil
	close(b.closing)
	b.mu.Unlock()
	for _, s := range subs {
		s.Close()
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-b.done:
	case <-timer.C: // it is stuck in the client, which closing ends
	}
	b.nc.Close()
	<-b.gone
	<-b.done
	return nil
}

type subscription struct {
	*bus.Queue
	bus  *Bus
	made chan struct{}        // closed when the client has it
	sub  *natsgo.Subscription // the bus's goroutine's; nil if it was not made
}

// subscribe makes it in the client, which tells the server now or on reconnecting.
func (s *subscription) subscribe(pattern string) {
	defer close(s.made)
	sub, err := s.bus.nc.Subscribe(s.bus.prefix+pattern, func(m *natsgo.Msg) {
		s.Push(bus.Message{Subject: strings.TrimPrefix(m.Subject, s.bus.prefix), Data: m.Data})
	})
	if err != nil {
		logx.Errorf("bus: subscribe to %s: %v", pattern, err)
		return
	}
	s.sub = sub
}

// Unsubscribe ends the subscription and waits for its handler.
func (s *subscription) Unsubscribe() {
	s.bus.mu.Lock()
	before := len(s.bus.subs)
	s.bus.subs = slices.DeleteFunc(s.bus.subs, func(x *subscription) bool { return x == s })
	first := len(s.bus.subs) < before
	s.bus.mu.Unlock()
	if first {
		s.bus.do(func() {
			if s.sub != nil {
				_ = s.sub.Unsubscribe() // it fails when the connection is closed
			}
		})
	}
	s.Close()
}
