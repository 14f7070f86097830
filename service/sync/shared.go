package sync

import (
	"context"
	"errors"
	"sync"
	"time"
)

// shared lets callers that want the same thing at the same time share one reading of it, which begins after each of
// them asked. A reading that takes too long fails, so that it keeps nobody from the next.
type shared[T any] struct {
	read    func(context.Context) (T, error)
	timeout time.Duration

	// running holds a token while somebody reads.
	running chan struct{}
	mu      sync.Mutex
	next    *reading[T] // has not begun
}

type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// sharedTimeout bounds one reading.
const sharedTimeout = 5 * time.Second

// errGaveUp says that who was to read went away before.
var errGaveUp = errors.New("the reading did not begin")

func newShared[T any](read func(context.Context) (T, error)) *shared[T] {
	return &shared[T]{read: read, timeout: sharedTimeout, running: make(chan struct{}, 1)}
}

func (s *shared[T]) get(ctx context.Context) (T, error) {
	for {
		s.mu.Lock()
		r := s.next
		if r == nil {
			r = &reading[T]{done: make(chan struct{})}
			s.next = r
			s.mu.Unlock()
			s.lead(ctx, r)
			if errors.Is(r.err, errGaveUp) {
				return r.value, ctx.Err()
			}
			return r.value, r.err
		}
		s.mu.Unlock()
		select {
		case <-r.done:
			if errors.Is(r.err, errGaveUp) {
				continue
			}
			return r.value, r.err
		case <-ctx.Done():
			var zero T
			return zero, ctx.Err()
		}
	}
}

// lead reads for all that joined by the time the reading before is over. Once begun it does not end with its own caller.
func (s *shared[T]) lead(ctx context.Context, r *reading[T]) {
	defer close(r.done)
	begun := false
	select {
	case s.running <- struct{}{}:
		begun = true
		defer func() { <-s.running }()
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	if !begun {
		r.err = errGaveUp
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	r.value, r.err = s.read(ctx)
}
