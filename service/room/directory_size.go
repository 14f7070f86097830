package room

import (
	"context"
	"sync"
	"time"
)

// directorySize is how many rooms are in a large directory, counted now and then.
type directorySize struct {
	mu    sync.Mutex
	n     int64
	until time.Time
}

// The size of the directory is an estimate where it is large: there it is counted once in a while.
const (
	exactSize  = 1000
	sizeStands = time.Minute
)

// sizeOfDirectory estimates how many rooms are in the directory.
func (s *Service) sizeOfDirectory(ctx context.Context) (int64, error) {
	n, err := s.store.CountDirectory(ctx, exactSize+1)
	if err != nil || n <= exactSize {
		return n, err
	}
	d, now := &s.directory, s.deps.Clock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if now.Before(d.until) {
		return d.n, nil
	}
	if n, err = s.store.CountDirectory(ctx, 1<<62); err != nil {
		return 0, err
	}
	d.n, d.until = n, now.Add(sizeStands)
	return n, nil
}
