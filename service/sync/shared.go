package sync

import (
	"context"
	"sync"
)

// shared lets callers that want the same thing at the same time share one reading of it, which begins after each of
// them asked.
type shared[T any] struct {
	read func(context.Context) (T, error)

	running sync.Mutex
	mu      sync.Mutex
	next    *reading[T] // has not begun
}

type reading[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func (s *shared[T]) get(ctx context.Context) (T, error) {
	s.mu.Lock()
	r := s.next
	if r == nil {
		r = &reading[T]{done: make(chan struct{})}
		s.next = r
		s.mu.Unlock()
		s.lead(ctx, r)
		return r.value, r.err
	}
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	}
}

// lead reads for all that joined by the time the reading before is over. It does not end with its own caller.
func (s *shared[T]) lead(ctx context.Context, r *reading[T]) {
	s.running.Lock()
	defer s.running.Unlock()
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	defer close(r.done)
	r.value, r.err = s.read(context.WithoutCancel(ctx))
}
