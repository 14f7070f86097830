package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hongyan/bench"
)

// How many write letters, to how many people with how many devices, and how long each writer pauses between two.
const (
	writerCount, readerCount, devicesEach = 3, 2, 2
	writersPause                          = 500 * time.Millisecond
)

// letters is a load of messages to devices beside that of messages: writers send numbered ones to all devices of some readers, and
// after each one that was acknowledged an event of an encrypted room that needs it. A device must get each letter once, after
// those that the writer sent before, and before the event that needs it.
type letters struct {
	writers   []*writer
	mailboxes []*mailbox
	told      func(bench.Attempt)
	delivered func(sent, seen time.Time)
	roomID    string

	paused atomic.Bool
	busy   atomic.Int64
	ends   []context.CancelFunc
	loops  errgroup.Group

	mu    sync.Mutex
	wrong []string
}

// writer is an account that sends letters.
type writer struct {
	*bench.Client
	l *letters
	// sent is how many letters were acknowledged: all up to that number. begun is when each was first sent, by number.
	sent  atomic.Int64
	begun sync.Map
}

// startLetters makes the accounts and begins. end must follow.
func startLetters(ctx context.Context, server string, cfg bench.Config) (*letters, error) {
	transport := bench.NewTransport(64)
	l := &letters{told: cfg.Attempted, delivered: cfg.Delivered}
	l.ends = append(l.ends, transport.CloseIdleConnections)
	name := fmt.Sprintf("letters%d", time.Now().UnixNano())
	for i := range writerCount {
		w := &writer{Client: bench.NewClient(transport, server), l: l}
		if err := w.Register(ctx, fmt.Sprintf("%s-w%d", name, i), "pass word", "", ""); err != nil {
			return l, err
		}
		l.writers = append(l.writers, w)
	}
	var err error
	l.roomID, err = l.writers[0].CreateRoom(ctx, map[string]any{"preset": "public_chat", "initial_state": []any{map[string]any{
		"type": "m.room.encryption", "content": map[string]any{"algorithm": "m.megolm.v1.aes-sha2"},
	}}})
	if err != nil {
		return l, fmt.Errorf("create a room: %w", err)
	}
	for _, w := range l.writers[1:] {
		if err := w.Join(ctx, l.roomID); err != nil {
			return l, fmt.Errorf("join: %w", err)
		}
	}
	for i := range readerCount {
		if err := l.addReader(ctx, transport, server, fmt.Sprintf("%s-r%d", name, i)); err != nil {
			return l, err
		}
	}
	l.begin(context.WithoutCancel(ctx))
	return l, nil
}

// begin starts the loops.
func (l *letters) begin(ctx context.Context) {
	reading, stopReading := context.WithCancel(ctx)
	writing, stopWriting := context.WithCancel(ctx)
	l.ends = append(l.ends, stopReading, stopWriting)
	for _, m := range l.mailboxes {
		l.loops.Go(func() error { m.loop(reading); return nil })
	}
	for _, w := range l.writers {
		l.loops.Go(func() error { w.loop(writing); return nil })
	}
}

// end ends the load.
func (l *letters) end() {
	for i := len(l.ends) - 1; i >= 0; i-- {
		l.ends[i]()
	}
	_ = l.loops.Wait()
}

// settled tells, of a paused load, whether nothing is under way and every letter has arrived.
func (l *letters) settled() bool { return l.busy.Load() == 0 && len(l.missing()) == 0 }

// count is how many letters were acknowledged.
func (l *letters) count() (n int64) {
	for _, w := range l.writers {
		n += w.sent.Load()
	}
	return n
}

// missing says which letters have not arrived yet.
func (l *letters) missing() (all []string) {
	for _, m := range l.mailboxes {
		for _, w := range l.writers {
			if got, sent := m.got(w), w.sent.Load(); got < sent {
				all = append(all, fmt.Sprintf("%s has %d of %d letters of %s", m.DeviceID, got, sent, w.UserID))
			}
		}
	}
	return all
}

// add notes what did not hold.
func (l *letters) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// complaints returns what did not hold since the last time, a few of them.
func (l *letters) complaints() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := l.wrong
	if l.wrong = nil; len(wrong) == 0 {
		return nil
	}
	const some = 5
	return fmt.Errorf("%d letters: %s", len(wrong), strings.Join(wrong[:min(some, len(wrong))], "; "))
}

// attempted tells of a request that has just ended.
func (l *letters) attempted(kind string, began time.Time, again bool, err error) {
	l.told(bench.Attempt{Kind: kind, Began: began, Ended: time.Now(), Again: again, Err: err})
}

// loop sends letters and the events that need them until ctx ends.
func (w *writer) loop(ctx context.Context) {
	for wait(ctx, time.Duration(float64(writersPause)*(0.5+rand.Float64()))) == nil {
		if w.l.paused.Load() {
			continue
		}
		w.l.busy.Add(1)
		n := w.sent.Load() + 1
		w.begun.Store(n, time.Now())
		whole := context.WithoutCancel(ctx) // what was begun is finished
		err := w.put(whole, "sendToDevice", w.letterPath(n), w.letter(n))
		if err == nil {
			w.sent.Store(n)
			err = w.put(whole, "sendEncrypted", w.eventPath(n), fmt.Appendf(nil, `{"algorithm":"none","needs":%d}`, n))
		}
		const seldom = 5
		if err == nil && n%seldom == 0 { // whoever did not hear of the answer repeats
			err = w.put(whole, "sendToDevice", w.letterPath(n), w.letter(n))
		}
		if err != nil {
			w.l.add("letter %d of %s: %v", n, w.UserID, err)
		}
		w.l.busy.Add(-1)
	}
}

// put repeats a PUT until the answer is known.
func (w *writer) put(ctx context.Context, kind, path string, body []byte) (err error) {
	const attempts, pause, longest = 40, 100 * time.Millisecond, time.Second
	for i := range attempts {
		began := time.Now()
		err = w.Do(ctx, http.MethodPut, path, body, patience, nil)
		w.l.attempted(kind, began, i > 0, err)
		var refused *bench.APIError
		if err == nil || errors.As(err, &refused) && refused.Status < http.StatusInternalServerError {
			return err
		}
		if err := wait(ctx, min(time.Duration(i+1)*pause, longest)); err != nil {
			return err
		}
	}
	return err
}

const letterType = "org.hongyan.letter"

func (w *writer) letterPath(n int64) string {
	return fmt.Sprintf("/_matrix/client/v3/sendToDevice/%s/l%d", letterType, n)
}

func (w *writer) eventPath(n int64) string {
	return fmt.Sprintf("/_matrix/client/v3/rooms/%s/send/m.room.encrypted/e%d", url.PathEscape(w.l.roomID), n)
}

// letter is the body of a letter: to all devices of the first reader, and to each of the others' by name.
func (w *writer) letter(n int64) []byte {
	messages := map[string]map[string]any{}
	for i, m := range w.l.mailboxes {
		device := m.DeviceID
		if i < devicesEach {
			device = "*"
		}
		if messages[m.UserID] == nil {
			messages[m.UserID] = map[string]any{}
		}
		messages[m.UserID][device] = map[string]int64{"n": n}
	}
	body, _ := json.Marshal(map[string]any{"messages": messages}) // maps of numbers
	return body
}

// repeat sends the last letters again: none may arrive again, before another one that is new.
func (l *letters) repeat(ctx context.Context) error {
	const last = 50
	if err := until(ctx, "the writers rest", func() bool { return l.busy.Load() == 0 }); err != nil {
		return err
	}
	for _, w := range l.writers {
		sent := w.sent.Load()
		for n := max(1, sent-last); n <= sent; n++ {
			if err := w.put(ctx, "sendToDevice", w.letterPath(n), w.letter(n)); err != nil {
				return fmt.Errorf("repeat letter %d of %s: %w", n, w.UserID, err)
			}
		}
		if err := w.put(ctx, "sendToDevice", w.letterPath(sent+1), w.letter(sent+1)); err != nil {
			return fmt.Errorf("letter %d of %s: %w", sent+1, w.UserID, err)
		}
		w.sent.Store(sent + 1)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := until(ctx, "the last letters have arrived", l.settled)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.Join(l.missing(), "; "))
	}
	return errors.Join(err, l.complaints())
}
