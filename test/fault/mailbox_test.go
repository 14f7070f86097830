package fault_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"

	"hongyan/bench"
)

// mailbox is a device that gets letters.
type mailbox struct {
	*bench.Client
	l     *letters
	since string
	// wanders tells that it is offline now and then.
	wanders bool

	mu sync.Mutex
	// last is the number of the last letter that came of each writer, by user id.
	last map[string]int64
}

// addReader makes an account with several devices, the last of which is offline now and then.
func (l *letters) addReader(ctx context.Context, transport *fasthttp.Client, server, name string) error {
	for i := range devicesEach {
		m := &mailbox{Client: bench.NewClient(transport, server), l: l, last: map[string]int64{}, wanders: i == devicesEach-1}
		enter := m.Login
		if i == 0 {
			enter = func(ctx context.Context, name, password string) error { return m.Register(ctx, name, password, "", "") }
		}
		if err := enter(ctx, name, "pass word"); err != nil {
			return err
		}
		l.mailboxes = append(l.mailboxes, m)
	}
	if err := l.mailboxes[len(l.mailboxes)-1].Join(ctx, l.roomID); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

// got is how many letters of a writer arrived.
func (m *mailbox) got(w *writer) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last[w.UserID]
}

const lettersFilter = `{"presence":{"not_types":["*"]},"room":{"timeline":{"limit":500},"state":{"lazy_load_members":true}}}`

// loop takes letters until ctx ends.
func (m *mailbox) loop(ctx context.Context) {
	const (
		online, offline = 4 * time.Second, 2 * time.Second
		seldom          = 10
		poll            = 2 * time.Second
		pause           = 50 * time.Millisecond
	)
	came, again := time.Now(), false
	for polls := 1; ctx.Err() == nil; polls++ {
		if m.wanders && time.Since(came) > online && !m.l.paused.Load() {
			_ = wait(ctx, offline)
			came = time.Now()
		}
		began := time.Now()
		var answer gjson.Result
		err := m.Sync(ctx, m.since, lettersFilter, poll, func(body []byte) error {
			answer = gjson.Parse(string(body))
			return nil
		})
		if ctx.Err() != nil {
			return
		}
		m.l.attempted("sync", began, again, err)
		if again = err != nil; again {
			_ = wait(ctx, pause)
			continue
		}
		if polls%seldom == 0 && m.since != "" {
			continue // as if the answer had been lost on its way
		}
		m.take(answer)
	}
}

// take reads an answer: first the letters, then the events that need them.
func (m *mailbox) take(answer gjson.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range answer.Get("to_device.events").Array() {
		if e.Get("type").Str == letterType {
			m.letter(e.Get("sender").Str, e.Get("content.n").Int())
		}
	}
	room := answer.Get("rooms.join." + strings.ReplaceAll(m.l.roomID, ".", `\.`))
	for _, e := range room.Get("timeline.events").Array() {
		if e.Get("type").Str != "m.room.encrypted" {
			continue
		}
		if sender, n := e.Get("sender").Str, e.Get("content.needs").Int(); m.last[sender] < n {
			m.l.add("%s saw an event of %s that needs letter %d after letter %d", m.DeviceID, sender, n, m.last[sender])
		}
	}
	m.since = answer.Get("next_batch").Str
}

// letter notes that a letter came.
func (m *mailbox) letter(sender string, n int64) {
	last := m.last[sender]
	if n != last+1 {
		m.l.add("%s got letter %d of %s after letter %d", m.DeviceID, n, sender, last)
	}
	m.last[sender] = max(n, last)
	if m.wanders {
		return
	}
	for _, w := range m.l.writers {
		if begun, ok := w.begun.Load(n); ok && w.UserID == sender {
			m.l.delivered(begun.(time.Time), time.Now())
		}
	}
}
