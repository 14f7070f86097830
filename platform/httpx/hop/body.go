package hop

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// memory bounds the bytes that are kept of all requests together.
type memory struct {
	limit int64
	used  atomic.Int64
}

func (m *memory) take(n int64) bool {
	if m.used.Add(n) > m.limit {
		m.used.Add(-n)
		return false
	}
	return true
}

func (m *memory) give(n int64) { m.used.Add(-n) }

// source is a request's body, which is read once and sent perhaps several times: what was read is kept as long as it is
// small. It streams all the same. A nil source is no body.
type source struct {
	inner  io.ReadCloser
	limit  int64
	memory *memory

	mu      sync.Mutex
	changed sync.Cond
	kept    []byte
	charged int64
	lost    bool  // more was read than is kept: it cannot be sent again
	reading bool  // one Read of inner is under way
	err     error // how inner ended
	current *attemptBody
	final   bool // no other attempt follows
	closing bool // inner is closed, or is being closed
}

func newSource(r *http.Request, limit int64, m *memory) *source {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	s := &source{inner: r.Body, limit: limit, memory: m}
	s.changed.L = &s.mu
	return s
}

// open returns the body for one more attempt, or false when its beginning is lost. The one before gives nothing any more.
func (s *source) open() (io.ReadCloser, bool) {
	if s == nil {
		return http.NoBody, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost || s.final {
		return nil, false
	}
	if s.current != nil {
		s.current.closed = true
	}
	s.current = &attemptBody{source: s}
	s.changed.Broadcast()
	return s.current, true
}

// again tells whether the body could be sent once more.
func (s *source) again() bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.lost
}

// failure is why the body could not be read, which is nobody's fault but the client's; nil where it could.
func (s *source) failure() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

// whole tells whether all of the body was read.
func (s *source) whole() bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Is(s.err, io.EOF)
}

// finish says that no attempt follows. It returns true where the caller has to call close, which may wait for a Read.
func (s *source) finish(open bool) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.final = true
	if s.current != nil && !s.current.closed && open {
		return false // the attempt closes it
	}
	return s.endLocked()
}

// endLocked returns true to the first one, who closes inner.
func (s *source) endLocked() bool {
	if s.closing {
		return false
	}
	s.closing = true
	if s.err == nil {
		s.err = http.ErrBodyReadAfterClose
	}
	s.dropLocked()
	s.changed.Broadcast()
	return true
}

func (s *source) dropLocked() {
	s.memory.give(s.charged)
	s.kept, s.charged, s.lost = nil, 0, true
}

// keepLocked notes what was read for the attempt b.
func (s *source) keepLocked(p []byte, b *attemptBody) {
	n := int64(len(p))
	if s.lost || n == 0 {
		return
	}
	if b.closed || b != s.current {
		// What a dead attempt read is the next one's, whatever its size: one Read bounds it.
		s.memory.used.Add(n)
	} else if s.final || int64(len(s.kept))+n > s.limit || !s.memory.take(n) {
		s.dropLocked()
		return
	}
	s.charged += n
	s.kept = append(s.kept, p...)
}

// attemptBody is a body as one attempt sends it.
type attemptBody struct {
	source *source
	pos    int64
	closed bool // under the source's lock
}

// Read gives what is kept, and then what inner has.
func (b *attemptBody) Read(p []byte) (int, error) {
	s := b.source
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case b.closed:
			return 0, http.ErrBodyReadAfterClose
		case !s.lost && b.pos < int64(len(s.kept)):
			n := copy(p, s.kept[b.pos:])
			b.pos += int64(n)
			if s.final && b.pos == int64(len(s.kept)) {
				s.dropLocked() // nobody needs it any more
			}
			return n, nil
		case s.err != nil:
			return 0, s.err
		case s.reading:
			s.changed.Wait()
			continue
		}
		s.reading = true
		s.mu.Unlock()
		n, err := s.inner.Read(p)
		s.mu.Lock()
		s.reading = false
		if err != nil && s.err == nil {
			s.err = err
		}
		s.keepLocked(p[:n], b)
		s.changed.Broadcast()
		if b.closed {
			return 0, http.ErrBodyReadAfterClose
		}
		b.pos += int64(n)
		return n, err
	}
}

// Close ends the attempt's reading, and the body where no attempt follows.
func (b *attemptBody) Close() error {
	s := b.source
	s.mu.Lock()
	b.closed = true
	last := s.final && s.current == b && s.endLocked()
	s.changed.Broadcast()
	s.mu.Unlock()
	if last {
		return s.inner.Close()
	}
	return nil
}
