package sync

import (
	"context"
	"net/http"
	"time"

	"hongyan/platform/httpx"
	"hongyan/service/sync/internal/live"
)

// getSync answers GET /_matrix/client/v3/sync.
func (s *Service) getSync(w http.ResponseWriter, hr *http.Request) error {
	r, err := s.parse(hr)
	if err != nil {
		return err
	}
	ctx := hr.Context()
	u, err := s.attach(ctx, r.user)
	if err != nil {
		return err
	}
	defer s.node.Detach(u)
	if err := s.resolve(ctx, r, u); err != nil {
		return err
	}
	body, err := s.poll(ctx, r, u)
	if err != nil {
		return err
	}
	httpx.WriteRawJSON(w, http.StatusOK, *body)
	s.buffers.put(body)
	return nil
}

// attachTimeout bounds how long a request waits for its user to be loaded.
const attachTimeout = 30 * time.Second

func (s *Service) attach(ctx context.Context, userID string) (*live.User, error) {
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	u, err := s.node.Attach(ctx, userID)
	return u, unavailable(err)
}

// poll puts the answer together, and waits for news as long as there are none.
func (s *Service) poll(ctx context.Context, r *request, u *live.User) (*[]byte, error) {
	view := u.View(r.device, r.sinceText)
	waiter := u.Wait()
	defer waiter.Close()
	now := r.timeout == 0 || r.initial() || r.fullState
	if now {
		// Nothing that was acknowledged before the request may be missing, even if this instance has not read it yet. Who
		// waits for news gets it with the next ones.
		if err := s.catchUp(ctx, u); err != nil {
			return nil, err
		}
	}
	body, news, err := s.answer(ctx, r, u, &view, now)
	if err != nil || news || now {
		return body, err
	}
	s.buffers.put(body)
	return s.park(ctx, r, u, &view, waiter)
}

// park waits for news, for the request's time to be over, for the client to go away or for the instance to stop. It is
// where requests spend their lives: it holds as little as it can.
func (s *Service) park(ctx context.Context, r *request, u *live.User, view *live.View, waiter *live.Waiter) (*[]byte, error) {
	s.drain.enter()
	defer s.drain.leave()
	deadline := s.deps.Clock().Add(r.timeout)
	timer := time.NewTimer(r.timeout)
	defer timer.Stop()
	draining := s.drain.began
	for {
		select {
		case <-waiter.C:
			body, news, err := s.answer(ctx, r, u, view, false)
			if err != nil || news {
				return body, err
			}
			s.buffers.put(body)
		case <-timer.C:
			if draining == nil {
				return s.unchanged(r), nil
			}
			body, _, err := s.answer(ctx, r, u, view, true)
			return body, err
		case <-draining:
			draining = nil
			timer.Reset(min(s.drain.delay(r.user), deadline.Sub(s.deps.Clock())))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// unchanged answers with the token that the request came with.
func (s *Service) unchanged(r *request) *[]byte {
	body := s.buffers.get()
	*body = appendEnd(appendBeginning((*body)[:0], r.sinceText))
	return body
}
