package gateway

import (
	"context"
	"slices"
	"sync/atomic"

	"hongyan/matrix"
)

// poll is a parked long poll of a device.
type poll struct {
	user, device string
	cancel       context.CancelFunc
	forgotten    atomic.Bool
	next, prev   *poll
}

// pollList are the parked polls of a user.
type pollList struct {
	first *poll
	count int
}

// errPollStale says that the session was forgotten before the poll was parked: look the token up again.
var errPollStale = matrix.NewError(matrix.CodeUnknownToken, "The access token has to be looked up again.")

// park notes a long poll, so that a forget of its device ends it. It fails with errPollStale where the session was
// forgotten since it was looked up, and with M_LIMIT_EXCEEDED where the account has too many polls already.
func (s *sessions) park(e *session, cancel context.CancelFunc) (*poll, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.validLocked(e) {
		return nil, errPollStale
	}
	user := e.GetUserId()
	list := s.polls[user]
	if list == nil {
		list = &pollList{}
		s.polls[user] = list
	}
	if list.count >= s.maxPolls {
		return nil, matrix.NewError(matrix.CodeLimitExceeded, "This account waits in too many requests at once.")
	}
	p := &poll{user: user, device: e.GetDeviceId(), cancel: cancel, next: list.first}
	if p.next != nil {
		p.next.prev = p
	}
	list.first = p
	list.count++
	return p, nil
}

// unpark removes a poll that has been answered.
func (s *sessions) unpark(p *poll) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.polls[p.user]
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		list.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	list.count--
	if list.count == 0 {
		delete(s.polls, p.user)
	}
}

// onForget replaces what is called when the poll's token is forgotten; it is called at once where that has happened.
func (s *sessions) onForget(p *poll, cancel context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.cancel = cancel
	if p.forgotten.Load() {
		cancel()
	}
}

// endPollsLocked cancels the polls of these devices, or of all devices where none is named. Whoever parked a poll
// unparks it.
func (s *sessions) endPollsLocked(user string, devices []string) {
	list := s.polls[user]
	if list == nil {
		return
	}
	for p := list.first; p != nil; p = p.next {
		if len(devices) == 0 || slices.Contains(devices, p.device) {
			p.forgotten.Store(true)
			p.cancel()
		}
	}
}
