package sync

import (
	"context"
	"errors"
	"net/http"
	"time"

	"hongyan/platform/httpx"
	"hongyan/service/sync/internal/live"
)

// waiting is one request that may wait for news.
type waiting struct {
	r      *request
	node   *live.Node
	user   *live.User
	view   live.View
	waiter *live.Waiter
	// keys is how the request sees the keys. See seeKeys.
	keys keysView
	// now tells that the client does not wait: it wants all there is.
	now bool
	// turn is that of a large answer; nil where there is none.
	turn *turn
	// patience is until when news with encrypted events wait for the service keys; zero while they need not.
	patience time.Time
	// deadline is when the request has waited for as long as its client asked for.
	deadline time.Time
}

// errIdle says that a poll has waited for idleAfter without news, and waits on.
var errIdle = errors.New("nothing has happened for some time")

// idleAfter is how long a poll waits where it is before it hands itself to the edge, which lets it wait for less memory.
// Whoever is in a conversation is answered before that, and pays nothing for it.
const idleAfter = 2 * time.Second

// getSync answers GET /_matrix/client/v3/sync.
func (s *Service) getSync(w http.ResponseWriter, hr *http.Request) error {
	r, err := s.parse(hr)
	if err != nil {
		return err
	}
	for {
		// A node that ends knows nothing any more: the next one answers.
		if err := s.serve(hr.Context(), w, r); !errors.Is(err, live.ErrEnded) {
			return err
		}
	}
}

// serve answers a request from the node that works now. It fails with live.ErrEnded, and has answered nothing, when that
// ends.
func (s *Service) serve(ctx context.Context, w http.ResponseWriter, r *request) error {
	p, err := s.attach(ctx, r)
	if err != nil {
		return err
	}
	handedOver := false
	defer func() {
		if !handedOver {
			s.leave(p)
		}
	}()
	if err := s.resolve(ctx, p); err != nil {
		return err
	}
	body, err := s.poll(ctx, p)
	if errors.Is(err, errIdle) {
		handedOver = httpx.Park(w, func(ctx context.Context, w http.ResponseWriter) error {
			defer s.leave(p)
			body, err := s.park(ctx, p, p.deadline)
			return s.reply(w, p, body, err)
		})
		if handedOver {
			return nil
		}
		body, err = s.park(ctx, p, p.deadline)
	}
	return s.reply(w, p, body, err)
}

// reply answers a request with what the poll came to. Others need not wait until a slow client has read it.
func (s *Service) reply(w http.ResponseWriter, p *waiting, body *[]byte, err error) error {
	if err != nil {
		return err
	}
	if p.turn != nil {
		p.turn.assembled(int64(cap(*body)))
	}
	httpx.WriteRawJSON(w, http.StatusOK, *body)
	s.buffers.put(body)
	return nil
}

// leave ends what a request holds.
func (s *Service) leave(p *waiting) {
	p.endTurn()
	p.leaveKeys() // before the user, who is known for longer
	if p.waiter != nil {
		p.waiter.Close()
	}
	p.node.Detach(p.user)
}

// attachTimeout bounds how long a request waits for its user to be loaded.
const attachTimeout = 30 * time.Second

func (s *Service) attach(ctx context.Context, r *request) (*waiting, error) {
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	node := s.node()
	u, err := node.Attach(ctx, r.user)
	if err != nil {
		return nil, unavailable(err)
	}
	return &waiting{r: r, node: node, user: u}, nil
}

// poll puts the answer together, and waits for news as long as there are none; after idleAfter it fails with errIdle.
func (s *Service) poll(ctx context.Context, p *waiting) (*[]byte, error) {
	r, u := p.r, p.user
	p.view = u.View(r.device, r.sinceText)
	p.waiter = u.Wait()
	p.now = r.timeout == 0 || r.initial() || r.fullState
	if p.now {
		// Nothing that was acknowledged before the request may be missing, even if this instance has not read it yet. Who
		// waits for news gets it with the next ones.
		if err := s.catchUp(ctx, p); err != nil {
			return nil, err
		}
	}
	body, news, err := s.answer(ctx, p, p.now)
	if errors.Is(err, errHeld) {
		return s.unchanged(p), nil
	}
	if err != nil || news || p.now {
		return body, err
	}
	s.buffers.put(body)
	began := s.deps.Clock()
	p.deadline = began.Add(r.timeout)
	until := p.deadline
	if r.timeout > 2*idleAfter {
		until = began.Add(idleAfter)
	}
	return s.park(ctx, p, until)
}

// park waits for news, for the given time to be over, for the client to go away or for the instance to stop. It is
// where requests spend their lives: it holds as little as it can. It fails with errIdle when the time is over before the
// request's deadline.
func (s *Service) park(ctx context.Context, p *waiting, until time.Time) (*[]byte, error) {
	s.drain.enter()
	defer s.drain.leave()
	timer := time.NewTimer(until.Sub(s.deps.Clock()))
	defer timer.Stop()
	draining := s.drain.began
	for {
		select {
		case <-p.waiter.C:
			body, news, err := s.answer(ctx, p, false)
			if errors.Is(err, errHeld) {
				return s.unchanged(p), nil
			}
			if err != nil || news {
				return body, err
			}
			s.buffers.put(body)
		case <-timer.C:
			if draining == nil {
				return s.unchanged(p), nil
			}
			if until.Before(p.deadline) {
				return nil, errIdle
			}
			body, _, err := s.answer(ctx, p, true)
			if errors.Is(err, errHeld) {
				return s.unchanged(p), nil
			}
			return body, err
		case <-p.node.Ended():
			return s.unchanged(p), nil // the client comes back, and gets all of its rooms
		case <-draining:
			draining = nil
			timer.Reset(min(s.drain.delay(p.r.user), p.deadline.Sub(s.deps.Clock())))
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), httpx.ErrAnswerNow) {
				return s.unchanged(p), nil
			}
			return nil, ctx.Err()
		}
	}
}

// unchanged answers with the token that the request came with.
func (s *Service) unchanged(p *waiting) *[]byte {
	body := s.buffers.get()
	*body = appendEnd(appendBeginning((*body)[:0], p.r.sinceText), p.knownCounts())
	return body
}
