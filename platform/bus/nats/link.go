package nats

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/zeromicro/go-zero/core/logx"
)

const (
	// patience is how long a silent server is waited for.
	patience = 2 * time.Second
	// outboxSize is how many messages wait for the client.
	outboxSize = 2048
)

var (
	errAway = errors.New("nats is not connected")
	errFull = errors.New("nats does not take messages")
)

// message is one to send, under its whole subject.
type message struct {
	subject string
	data    []byte
}

type failure struct{ error }

// handlers keep the bus's own view of the connection, which can be looked at without the client's lock. The client calls
// them one after another.
func (b *Bus) handlers() []natsgo.Option {
	tried := sync.OnceFunc(func() { close(b.tried) })
	up := func(*natsgo.Conn) {
		b.silent.Store(false)
		b.refused.Store(false)
		b.connected.Store(true)
		if b.reached.Swap(true) {
			logx.Info("bus: nats is back")
		}
		tried()
	}
	return []natsgo.Option{
		natsgo.ConnectHandler(up), natsgo.ReconnectHandler(up),
		natsgo.ReconnectErrHandler(func(_ *natsgo.Conn, err error) {
			b.failure.Store(failure{err})
			b.refusal(err)
			tried()
		}),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			b.connected.Store(false)
			if err != nil {
				logx.Errorf("bus: lost nats: %v", err)
			}
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
			if !b.refusal(err) {
				logx.Errorf("bus: nats: %v", err)
			}
		}),
		natsgo.ClosedHandler(func(*natsgo.Conn) {
			b.connected.Store(false)
			close(b.gone)
		}),
	}
}

// refusal tells whether an error says that the token is wrong. That comes with each attempt to connect, and is logged once.
func (b *Bus) refusal(err error) bool {
	if !errors.Is(err, natsgo.ErrAuthorization) {
		return false
	}
	if !b.refused.Swap(true) {
		logx.Errorf("bus: nats at %s does not let this process in: %s is not the token that it wants; trying on", b.hosts, b.setting)
	}
	return true
}

// run is the bus's goroutine until Close: whatever waits for the client's lock is done here. What was asked for before a
// message was published is done before it is sent.
func (b *Bus) run(late *time.Timer) {
	defer close(b.done)
	defer late.Stop()
	for {
		b.doChores()
		select {
		case <-b.closing:
			b.drain()
			return
		case <-b.wake:
		case m := <-b.outbox:
			b.doChores()
			b.send(m)
		case <-late.C:
			b.complain()
		}
	}
}

// do has the bus's goroutine do it, in order.
func (b *Bus) do(chore func()) {
	b.mu.Lock()
	b.chores = append(b.chores, chore)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // it knows already
	}
}

func (b *Bus) doChores() {
	b.mu.Lock()
	chores := b.chores
	b.chores = nil
	b.mu.Unlock()
	for _, chore := range chores {
		if b.isClosing() {
			return
		}
		chore()
	}
}

// send tells whether m is on its way.
func (b *Bus) send(m message) bool {
	if !b.connected.Load() {
		return false // it would be late
	}
	err := b.nc.Publish(m.subject, m.data)
	// Of a connection that went away the handlers tell.
	if err != nil && !errors.Is(err, natsgo.ErrReconnectBufExceeded) && !errors.Is(err, natsgo.ErrConnectionClosed) {
		logx.Errorf("bus: publish %s: %v", m.subject, err)
	}
	return err == nil
}

// drain sends what was published before Close, unless NATS does not take it.
func (b *Bus) drain() {
	for {
		select {
		case m := <-b.outbox:
			if !b.send(m) {
				return
			}
		default:
			return
		}
	}
}

// complain says that NATS has not been reached, if so.
func (b *Bus) complain() {
	if b.reached.Load() || b.refused.Load() { // or it was said why
		return
	}
	err := b.nc.LastError()
	if f, ok := b.failure.Load().(failure); ok && err == nil {
		err = f.error
	}
	logx.Errorf("bus: nats at %s is not reached after %v, trying on: %v", b.hosts, patience, err)
}

func (b *Bus) isClosing() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}

// hosts are the URLs without what may be secret in them.
func hosts(urls []string) string {
	var all []string
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			all = append(all, u.Host)
		}
	}
	return strings.Join(all, ", ")
}
