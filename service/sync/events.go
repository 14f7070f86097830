package sync

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	roompb "hongyan/api/room"
	"hongyan/matrix"
	"hongyan/platform/httpx"
	"hongyan/service/sync/internal/live"
)

const (
	// peekTimeout is how long GET /events waits where the request does not say.
	peekTimeout = 30 * time.Second
	// maxPeeks is how many of a user's GET /events there may be at once.
	maxPeeks = 32
	// maxPeeked is how many events one answer of GET /events holds.
	maxPeeked = 100
)

// peeking is one GET /events: a room, looked into from outside ("Room Previews").
type peeking struct {
	room, user, device string
	// from is where the next look begins.
	from    string
	timeout time.Duration
}

func (s *Service) parsePeeking(r *http.Request) (*peeking, error) {
	caller := httpx.CallerOf(r)
	q := httpx.ReadQuery(r.URL)
	p := &peeking{user: caller.UserID, device: caller.DeviceID, from: q.String("from"), room: q.String("room_id")}
	longest := s.cfg.MaxTimeout.Milliseconds()
	p.timeout = time.Duration(q.Int("timeout", min(peekTimeout.Milliseconds(), longest), 0, longest)) * time.Millisecond
	if err := q.Err(); err != nil {
		return nil, err
	}
	if p.room == "" {
		return nil, matrix.NewError(matrix.CodeMissingParam,
			"\"room_id\" is missing. The events of all rooms at once are those of /sync.")
	}
	_, err := matrix.ParseRoomID(p.room)
	return p, err
}

// getEvents answers GET /events?room_id=: the events of a room after a token, as soon as there is one.
func (s *Service) getEvents(w http.ResponseWriter, r *http.Request) error {
	p, err := s.parsePeeking(r)
	if err != nil {
		return err
	}
	if !s.peeks.enter(p.user) {
		e := matrix.Errorf(matrix.CodeLimitExceeded, "You look into %d rooms at once: end some of that first.", maxPeeks)
		e.RetryAfter = time.Second
		return e
	}
	defer s.peeks.leave(p.user)
	ctx := r.Context()
	node, err := s.readyNode(ctx)
	if err != nil {
		return err
	}
	watch := node.Watch(p.room)
	defer watch.Close()
	start, deadline := "", s.deps.Clock().Add(p.timeout)
	for {
		seen, err := s.peek(ctx, p)
		if err != nil {
			return err
		}
		if start == "" {
			start = seen.Start
		}
		p.from = seen.End
		over := false
		if seen.Count == 0 {
			if over, err = s.awaitEvent(ctx, p, node, watch, deadline); err != nil {
				return err
			}
		}
		if over || seen.Count > 0 {
			httpx.WriteJSON(w, http.StatusOK, peeked{Start: start, End: seen.End, Chunk: seen.Chunk})
			return nil
		}
	}
}

// peeks counts the GET /events of users.
type peeks struct {
	mu sync.Mutex
	of map[string]int
}

func (p *peeks) enter(user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[string]int{}
	}
	if p.of[user] >= maxPeeks {
		return false
	}
	p.of[user]++
	return true
}

func (p *peeks) leave(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[user]--; p.of[user] == 0 {
		delete(p.of, user)
	}
}

// peeked is the answer of GET /events.
type peeked struct {
	Start string          `json:"start"`
	End   string          `json:"end"`
	Chunk json.RawMessage `json:"chunk"`
}

// readyNode returns the node that works, once it does.
func (s *Service) readyNode(ctx context.Context) (*live.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	node := s.node()
	select {
	case <-node.Ready():
		return node, nil
	case <-ctx.Done():
		return nil, matrix.Unavailable(ctx.Err())
	}
}

// peek asks the room's owner for what comes after p.from.
func (s *Service) peek(ctx context.Context, p *peeking) (*roompb.PeekResponse, error) {
	content, err := s.users.Data(ctx, p.user, "", live.TypeIgnoredUsers)
	if err != nil {
		return nil, unavailable(err)
	}
	req := &roompb.PeekRequest{RoomId: p.room, UserId: p.user, DeviceId: p.device, From: p.from, Limit: maxPeeked}
	for user := range matrix.ParseIgnored(content, matrix.UserID(p.user)) {
		req.Ignored = append(req.Ignored, user)
	}
	return s.deps.Room.Peek(ctx, req)
}

// awaitEvent waits for an event in the room; over tells that there will be none in time.
func (s *Service) awaitEvent(
	ctx context.Context, p *peeking, node *live.Node, watch *live.Watch, deadline time.Time,
) (over bool, err error) {
	s.drain.enter()
	defer s.drain.leave()
	timer := time.NewTimer(deadline.Sub(s.deps.Clock()))
	defer timer.Stop()
	draining := s.drain.began
	for {
		select {
		case <-watch.C:
			return false, nil
		case <-timer.C:
			return true, nil
		case <-node.Ended():
			return true, nil // the client comes back, to the next node
		case <-draining:
			draining = nil
			timer.Reset(min(s.drain.delay(p.user), deadline.Sub(s.deps.Clock())))
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), httpx.ErrAnswerNow) {
				return true, nil
			}
			return true, ctx.Err()
		}
	}
}
