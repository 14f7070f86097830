package gateway

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"hongyan/platform/bus"
)

// takenSubject is where gateways tell each other what they have counted.
const takenSubject = "gateway.taken"

// shareEvery is for how long what was counted is gathered before the others are told.
const shareEvery = 150 * time.Millisecond

// maxShared bounds the keys of one rate that the others are told of at once. What is beyond is counted here alone.
const maxShared = 8192

// takenVersion is the first byte of a message; others are skipped.
const takenVersion = 1

// share is how gateways count together. Each tells the others over the bus what was taken from its buckets, a moment
// later and all at once, and they take as much from theirs. A message that is lost makes a limit more generous, no more. While
// nothing is counted nothing is told.
type share struct {
	bus  bus.Bus
	self string
	// noticed holds a token while something is to be told.
	noticed chan struct{}
	// on is set while there is somebody to tell it.
	on atomic.Bool
	// failing is set while the others cannot be told, which is logged once.
	failing atomic.Bool
}

func newShare(b bus.Bus) *share {
	return &share{bus: b, self: rand.Text(), noticed: make(chan struct{}, 1)}
}

func (s *share) notice() {
	select {
	case s.noticed <- struct{}{}:
	default:
	}
}

// runShare tells other gateways what is counted here, and counts what they tell, until ctx ends.
func (l *limits) runShare(ctx context.Context) error {
	sub, err := l.share.bus.Subscribe(takenSubject, l.hear)
	if err != nil {
		return fmt.Errorf("hear of other gateways: %w", err)
	}
	defer sub.Unsubscribe()
	l.share.on.Store(true)
	defer l.share.on.Store(false)
	timer := time.NewTimer(0)
	<-timer.C
	for {
		select {
		case <-l.share.noticed:
		case <-ctx.Done():
			return nil
		}
		timer.Reset(shareEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		l.tell(ctx)
	}
}

// tell publishes what was taken since it was called last.
func (l *limits) tell(ctx context.Context) {
	m := takenMessage{self: l.share.self, publish: func(data []byte) {
		err := l.share.bus.Publish(ctx, takenSubject, data)
		if ctx.Err() == nil && l.share.failing.Swap(err != nil) != (err != nil) && err != nil {
			logx.WithContext(ctx).Errorf("tell other gateways what is counted: %v; trying on", err)
		}
	}}
	for name, b := range l.byName {
		for key, n := range b.takeTaken() {
			m.add(name, key, n)
		}
	}
	m.flush()
}

// hear counts what another gateway has counted.
func (l *limits) hear(m bus.Message) {
	err := readTaken(m.Data, l.share.self, func(name, key string, n int) {
		if b := l.byName[name]; b != nil {
			b.takeElsewhere(key, n)
		}
	})
	if err != nil {
		logx.Errorf("message of another gateway: %v", err)
	}
}

// takenMessage puts messages together: the version and the sender, and for each key the name of the rate, the key and
// how often it was counted.
type takenMessage struct {
	self    string
	publish func([]byte)
	data    []byte
	any     bool
}

func (m *takenMessage) add(name, key string, n int) {
	size := len(name) + len(key) + 3*binary.MaxVarintLen64
	if len(m.data)+size > bus.MaxMessage {
		m.flush()
	}
	if !m.any {
		m.data = appendText([]byte{takenVersion}, m.self)
	}
	if len(m.data)+size > bus.MaxMessage { // no user id and no address is so long
		return
	}
	m.any = true
	m.data = appendText(appendText(m.data, name), key)
	m.data = binary.AppendUvarint(m.data, uint64(n))
}

func (m *takenMessage) flush() {
	if m.any {
		m.publish(m.data)
	}
	m.data, m.any = nil, false
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

var errCutOff = errors.New("it is cut off")

// readTaken reads a message, unless it is this gateway's own or of another version.
func readTaken(data []byte, self string, each func(name, key string, n int)) error {
	if len(data) == 0 || data[0] != takenVersion {
		return nil
	}
	r := takenReader{data: data[1:]}
	if r.text() == self {
		return nil
	}
	for len(r.data) > 0 && !r.bad {
		name, key, n := r.text(), r.text(), r.number()
		if !r.bad {
			each(name, key, int(min(n, 1<<30)))
		}
	}
	if r.bad {
		return errCutOff
	}
	return nil
}

type takenReader struct {
	data []byte
	bad  bool
}

func (r *takenReader) number() uint64 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[size:]
	return n
}

func (r *takenReader) text() string {
	n := r.number()
	if r.bad || n > uint64(len(r.data)) {
		r.bad, r.data = true, nil
		return ""
	}
	text := string(r.data[:n])
	r.data = r.data[n:]
	return text
}
