package media

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hongyan/service/media/internal/store"
)

// uploadedSubject is what instances tell each other of ids that got their content, of which the data are the id.
const uploadedSubject = "media.uploaded"

// lookEvery is how often who waits for content looks for it, whatever the bus tells.
const lookEvery = time.Second

// errPending says that nothing was uploaded yet.
var errPending = errors.New("nothing was uploaded yet")

// waiters are downloads that wait for content.
type waiters struct {
	most   int
	gauge  prometheus.Gauge
	closed chan struct{}
	once   sync.Once

	mu sync.Mutex
	n  int
	of map[string]map[chan struct{}]struct{}
}

func newWaiters(most int, gauge prometheus.Gauge) *waiters {
	return &waiters{most: most, gauge: gauge, closed: make(chan struct{}), of: map[string]map[chan struct{}]struct{}{}}
}

// add returns what is told of content for an id; false says that too many wait.
func (w *waiters) add(id string) (news chan struct{}, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n >= w.most {
		return nil, false
	}
	w.n++
	w.gauge.Inc()
	news = make(chan struct{}, 1)
	if w.of[id] == nil {
		w.of[id] = map[chan struct{}]struct{}{}
	}
	w.of[id][news] = struct{}{}
	return news, true
}

func (w *waiters) remove(id string, news chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
	w.gauge.Dec()
	delete(w.of[id], news)
	if len(w.of[id]) == 0 {
		delete(w.of, id)
	}
}

// wake has everybody look who waits for an id.
func (w *waiters) wake(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for news := range w.of[id] {
		select {
		case news <- struct{}{}:
		default: // it looks already
		}
	}
}

// close ends all waiting.
func (w *waiters) close() { w.once.Do(func() { close(w.closed) }) }

// tell has downloads answered that wait for an id, wherever they are.
func (s *Service) tell(ctx context.Context, id string) {
	s.waiters.wake(id)
	_ = s.deps.Bus.Publish(ctx, uploadedSubject, []byte(id)) // they look by themselves too
}

// get finds a media that has not expired.
func (s *Service) get(ctx context.Context, id string) (m store.Media, err error) {
	err = inTime(ctx, func(ctx context.Context) (err error) {
		m, err = s.store.Get(ctx, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return store.Media{}, errNotFound()
	}
	if err == nil && m.Content.Key == "" && m.ExpiresMS > 0 && m.ExpiresMS <= s.nowMS() {
		return store.Media{}, errNotFound()
	}
	return m, err
}

// await finds a media with content, for which it waits. The error is errPending where none comes.
func (s *Service) await(ctx context.Context, id string, patience time.Duration) (store.Media, error) {
	m, err := s.get(ctx, id)
	if err != nil || m.Content.Key != "" {
		return m, err
	}
	news, ok := s.waiters.add(id)
	if !ok || patience <= 0 {
		if ok {
			s.waiters.remove(id, news)
		}
		return store.Media{}, errPending
	}
	defer s.waiters.remove(id, news)
	end := time.NewTimer(patience)
	defer end.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for over := false; ; {
		if m, err := s.get(ctx, id); err != nil || m.Content.Key != "" {
			return m, err
		}
		if over {
			return store.Media{}, errPending
		}
		select {
		case <-news:
		case <-look.C:
		case <-end.C:
			over = true
		case <-s.waiters.closed:
			over = true
		case <-ctx.Done():
			return store.Media{}, ctx.Err()
		}
	}
}
